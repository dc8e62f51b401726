// Variables that nobody may set. What the caller's own environment has of them does not get into the plan.
import { quote } from '../../base/errors.js'
import { matchesGlob } from '../../base/glob.js'
import { originText } from '../../rules/site-policy.js'
import type { Check } from '../check.js'

export const checkEnvironment: Check = ({ env }, site) => {
  const names = Object.keys(env)
  return site['environment.refuse'].entries.flatMap(({ value: pattern, by }) =>
    names
      .filter((name) => matchesGlob(name, pattern))
      .map((name) => ({
        point: 'environment',
        value: name,
        decidedBy: originText(by, pattern),
        refusal: {
          code: 'HW_ENV_REFUSED',
          text: `variable ${quote(name)} is not allowed on this site (environment.refuse ${quote(pattern)})`,
        },
      })),
  )
}
