// SIGKILL that works: PID 1's death is the container's, unless its user has frozen it (cgroup v1).
import type { Logger } from '../base/log.js'
import { pidsOf } from '../cgroup/kill.js'
import type { Placement } from '../cgroup/placement.js'
import { thawProcesses } from '../cgroup/thaw.js'
import type { Init } from './gate.js'

/** Longer than a process takes to die; he may freeze it again, so it is done again. */
const THAW_EVERY_MS = 300

/** The same init; what does not die of kill() is thawed until it does. */
export function killable(init: Init, placement: Placement, log: Logger): Init {
  let timer: NodeJS.Timeout | undefined
  void init.ended.then(() => clearInterval(timer))
  const thaw = () => {
    try {
      thawProcesses(pidsOf(placement))
    } catch (error) {
      log.warn({ err: error }, 'cannot thaw a run that does not die')
    }
  }
  return {
    ...init,
    kill: () => {
      init.kill()
      timer ??= setInterval(thaw, THAW_EVERY_MS)
    },
  }
}
