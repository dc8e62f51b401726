// --ulimit: the engine sets it as root, so nothing but this check keeps a user from limits he does not have himself
// (rtprio, nice and memlock can take a node from its other users).
import { isAbove } from '../../plan/ulimits.js'
import type { Check } from '../check.js'

export const checkUlimits: Check = ({ ulimits, rlimits }) => {
  for (const { name, hard } of ulimits) {
    const own = rlimits?.get(name)?.hard
    if (own === undefined)
      return { code: 'HW_LIMIT_ABOVE_JOB', text: `--ulimit ${name}: your own limit is not known` }
    if (isAbove(hard, own))
      return {
        code: 'HW_LIMIT_ABOVE_JOB',
        text: `--ulimit ${name}=${hard}: your own limit is ${own}`,
      }
  }
  return undefined
}
