// How far a user may make the node go to a registry.
import type { RunPlan } from '../../plan/run-plan.js'
import { originText } from '../../rules/site-policy.js'
import type { Check } from '../check.js'

const RANK: Readonly<Record<RunPlan['pull'], number>> = { never: 0, missing: 1, always: 2 }

export const checkPull: Check = ({ pull }, site) => {
  const { value: most, by } = site['images.pull']
  const point = { point: 'pull', value: pull, decidedBy: originText(by) }
  if (RANK[pull] <= RANK[most]) return [point]
  const text = `--pull ${pull} is more than this site allows (images.pull = "${most}")`
  return [{ ...point, refusal: { code: 'HW_PULL_REFUSED', text } }]
}
