// Who may run containers at all.
import type { Check } from '../check.js'

export const checkCaller: Check = ({ caller }, { slurm }) => {
  if (caller.uid !== 0 || slurm.root === 'allow') return undefined
  return { code: 'HW_ROOT_REFUSED', text: 'root may not run containers (slurm.root = "refuse")' }
}
