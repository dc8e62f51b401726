// Slurm's own accounting as `sacct --json` gives it, reduced to what containers can be compared with. Each version of Slurm
// writes it in another way: numbers plain or as {set, infinite, number}, states as a word or a list, step ids as a number,
// as "42.0" or as an object. What is not understood is left out, never guessed.

export interface SlurmStep {
  /** "0", "batch", "extern", "interactive". */
  readonly id: string
  readonly name: string | undefined
  readonly isEnded: boolean
  /** User and system; undefined where Slurm says nothing of it. */
  readonly cpuUsec: number | undefined
  /** Allocated to the step over all its nodes. */
  readonly memoryLimitBytes: number | undefined
  /** The largest that Slurm saw of a task (MaxRSS). */
  readonly maxRssBytes: number | undefined
  readonly tasks: number | undefined
  readonly exitStatus: number | undefined
  /** ms since the epoch. */
  readonly startMs: number | undefined
  readonly endMs: number | undefined
}

export interface SlurmJob {
  readonly cluster: string
  readonly id: number
  readonly user: string | undefined
  readonly account: string | undefined
  readonly isEnded: boolean
  /** ms since the epoch; tells the times apart that a requeued job ran. */
  readonly startMs: number | undefined
  readonly steps: readonly SlurmStep[]
}

/** Undefined: this is not what `sacct --json` writes. */
export function parseSacct(text: string): readonly SlurmJob[] | undefined {
  const jobs = listAt(parseJson(text), 'jobs')
  return jobs?.flatMap((one) => parseJob(one) ?? [])
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function parseJob(value: unknown): SlurmJob | undefined {
  const id = countAt(value, 'job_id')
  if (id === undefined) return undefined
  const state = stateAt(at(value, 'state'), 'current')
  return {
    cluster: textAt(value, 'cluster') ?? textAt(at(value, 'association'), 'cluster') ?? '',
    id,
    user: textAt(value, 'user') ?? textAt(at(value, 'association'), 'user'),
    account: textAt(value, 'account') ?? textAt(at(value, 'association'), 'account'),
    isEnded: isFinal(state),
    startMs: seconds(countAt(at(value, 'time'), 'start')),
    steps: (listAt(value, 'steps') ?? []).flatMap((step) => parseStep(step) ?? []),
  }
}

function parseStep(value: unknown): SlurmStep | undefined {
  const id = stepId(at(value, 'step'))
  if (id === undefined) return undefined
  const [time, tres] = [at(value, 'time'), at(value, 'tres')]
  const memoryMib = tresCount(at(tres, 'allocated'), 'mem')
  return {
    id,
    name: textAt(at(value, 'step'), 'name'),
    isEnded: isFinal(stateAt(value, 'state')),
    cpuUsec: usecAt(time, 'total') ?? sum(usecAt(time, 'user'), usecAt(time, 'system')),
    memoryLimitBytes: memoryMib === undefined ? undefined : memoryMib * 1024 ** 2,
    maxRssBytes: tresCount(at(at(tres, 'requested'), 'max'), 'mem'),
    tasks: countAt(at(value, 'tasks'), 'count'),
    exitStatus: countAt(at(value, 'exit_code'), 'return_code'),
    startMs: seconds(countAt(time, 'start')),
    endMs: seconds(countAt(time, 'end')),
  }
}

/** {id: 0}, {id: "batch"}, {id: "42.0+1"}, {id: {job_id: 42, step_id: "batch"}}; the component of a het job is a job. */
function stepId(step: unknown): string | undefined {
  const id = at(step, 'id')
  const inner = typeof id === 'object' && id !== null ? (at(id, 'step_id') ?? id) : id
  if (typeof inner !== 'string') return countOf(inner)?.toString()
  return withoutComponent(inner.replace(/^\d+(?:_\d+)?\./, ''))
}

/** "0+1" → "0": each component of a het job has a job id of its own. */
export const withoutComponent = (stepId: string): string => stepId.replace(/\+\d+$/, '')

const OPEN =
  /^(?:PENDING|RUNNING|SUSPENDED|REQUEUED|RESIZING|CONFIGURING|COMPLETING|SIGNALING|STAGE_OUT)$/

const isFinal = (states: readonly string[]): boolean =>
  states.length > 0 && !states.some((state) => OPEN.test(state))

/** "COMPLETED", ["COMPLETED"], {current: …} */
function stateAt(value: unknown, key: string): readonly string[] {
  const state = at(value, key)
  const list = Array.isArray(state) ? (state as readonly unknown[]) : [state]
  return list.filter((word) => typeof word === 'string')
}

function tresCount(list: unknown, type: string): number | undefined {
  if (!Array.isArray(list)) return undefined
  const found = list.find((one) => at(one, 'type') === type) as unknown
  const count = countAt(found, 'count')
  return count === 0 ? undefined : count
}

function usecAt(value: unknown, key: string): number | undefined {
  const time = at(value, key)
  const whole = countAt(time, 'seconds')
  return whole === undefined ? undefined : whole * 1e6 + (countAt(time, 'microseconds') ?? 0)
}

const sum = (a: number | undefined, b: number | undefined) =>
  a === undefined || b === undefined ? undefined : a + b

const seconds = (epoch: number | undefined) =>
  epoch === undefined || epoch === 0 ? undefined : epoch * 1000

const at = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Readonly<Record<string, unknown>>)[key]
    : undefined

function listAt(value: unknown, key: string): readonly unknown[] | undefined {
  const list = at(value, key)
  return Array.isArray(list) ? (list as readonly unknown[]) : undefined
}

function textAt(value: unknown, key: string): string | undefined {
  const text = at(value, key)
  return typeof text === 'string' && text !== '' ? text : undefined
}

const countAt = (value: unknown, key: string) => countOf(at(value, key))

/** 5, {set: true, infinite: false, number: 5} */
function countOf(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) && value >= 0 ? value : undefined
  if (at(value, 'set') !== true || at(value, 'infinite') === true) return undefined
  return countOf(at(value, 'number'))
}
