// --ulimit: the engine sets it as root, so nothing but this check keeps a user from limits he does not have himself
// (rtprio, nice and memlock can take a node from its other users).
import { isAbove } from '../../plan/ulimits.js'
import { originText } from '../../rules/site-policy.js'
import type { Check, Verdict } from '../check.js'

export const checkUlimits: Check = ({ ulimits, rlimits }, site) => {
  const { value: ceilings, by } = site['ceilings.ulimits']
  return ulimits.flatMap(({ name, hard }): Verdict[] => {
    const asked = { point: `--ulimit ${name}`, value: String(hard) }
    const own = { ...asked, decidedBy: 'your own limit' }
    const limit = rlimits?.get(name)?.hard
    const refuse = (text: string) =>
      ({ code: 'HW_LIMIT_ABOVE_JOB', text: `--ulimit ${name}${text}` }) as const
    if (limit === undefined) return [{ ...own, refusal: refuse(': your own limit is not known') }]
    if (isAbove(hard, limit))
      return [{ ...own, refusal: refuse(`=${hard}: your own limit is ${limit}`) }]
    const ceiling = ceilings[name]
    if (ceiling === undefined) return []
    const point = { ...asked, decidedBy: originText(by) }
    if (ceiling === 'unlimited' || !isAbove(hard, ceiling)) return [point]
    const text = `--ulimit ${name}=${hard}: this site allows ${ceiling} (ceilings.ulimits)`
    return [{ ...point, refusal: { code: 'HW_LIMIT_ABOVE_SITE', text } }]
  })
}
