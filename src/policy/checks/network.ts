// Which networks.
import { originText, valuesOf } from '../../rules/site-policy.js'
import type { Check } from '../check.js'

export const checkNetwork: Check = ({ network: wanted }, { network }) => {
  const entry = network.entries.find(({ value }) => value === wanted)
  const point = { point: 'network', value: wanted, decidedBy: originText((entry ?? network).by) }
  if (entry !== undefined) return [point]
  const text = `--network ${wanted} is not allowed on this site (network = ${JSON.stringify(valuesOf(network))})`
  return [{ ...point, refusal: { code: 'HW_NETWORK_REFUSED', text } }]
}
