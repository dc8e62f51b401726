// How far a user may make the node go to a registry.
import type { RunPlan } from '../../plan/run-plan.js'
import type { Check } from '../check.js'

const RANK: Readonly<Record<RunPlan['pull'], number>> = { never: 0, missing: 1, always: 2 }

export const checkPull: Check = ({ pull }, { images }) => {
  if (RANK[pull] <= RANK[images.pull]) return undefined
  return {
    code: 'HW_PULL_REFUSED',
    text: `--pull ${pull} is more than this site allows (images.pull = "${images.pull}")`,
  }
}
