// Which of the node's devices. Slurm's own filter holds beside this: a job without the gres opens none of them.
import { quote } from '../../base/errors.js'
import { matchesGlob } from '../../base/glob.js'
import { isAtOrBelow } from '../../config/reserved-target.js'
import { originText } from '../../rules/site-policy.js'
import type { Check, Refusal } from '../check.js'

export const checkDevices: Check = ({ devices: wanted }, { devices }) =>
  wanted.map((path) => {
    const entry = devices.entries.find(({ value }) => matchesPath(path, value))
    const point = { point: 'device', value: path }
    if (NEVER.some((top) => isAtOrBelow(path, top)))
      return { ...point, decidedBy: 'built in: never a device', refusal: refusalOf(path) }
    if (entry !== undefined) return { ...point, decidedBy: originText(entry.by, entry.value) }
    return {
      ...point,
      decidedBy: originText(devices.by),
      refusal: refusalOf(path),
    }
  })

// Users make files there, and could swap one for a link to any device. config/policy-keys lets no list name these, but a
// star in a list would reach them.
const NEVER = ['/dev/shm', '/dev/pts', '/dev/mqueue']

const refusalOf = (path: string): Refusal => ({
  code: 'HW_OPTION_FORBIDDEN',
  text: `option ${quote(`--device=${path}`)} is not allowed on this site (devices)`,
})

/** Component by component: no star reaches into another directory. */
function matchesPath(path: string, pattern: string): boolean {
  const parts = path.split('/')
  const patterns = pattern.split('/')
  return (
    parts.length === patterns.length &&
    parts.every((part, index) => matchesGlob(part, patterns[index] ?? ''))
  )
}
