// Who may run containers at all.
import { originText } from '../../rules/site-policy.js'
import type { Check } from '../check.js'

export const checkCaller: Check = ({ caller }, { root }) => {
  if (caller.uid !== 0) return []
  const point = { point: 'caller', value: 'root', decidedBy: originText(root.by) }
  if (root.value === 'allow') return [point]
  const text = 'root may not run containers (root = "refuse")'
  return [{ ...point, refusal: { code: 'HW_ROOT_REFUSED', text } }]
}
