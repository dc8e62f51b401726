// Which rules are for whom, and which of them says more.
import { HepwrapError } from '../base/errors.js'
import { matchesGlob } from '../base/glob.js'
import { MATCH_KEYS, type MatchKey } from '../config/policy-keys.js'
import type { PolicyLayer } from '../config/policy-layers.js'
import type { Subject } from './subject.js'

/** For each of MATCH_KEYS: 2 = named exactly, 1 = by a glob, 0 = not asked. */
type Specificity = readonly number[]

/**
 * The layers that are for this subject, the least specific first: [policy], then rules by users before groups, accounts,
 * partitions, clusters and nodes; of each an exact name before a glob; of equals the later. Throws HW_JOB_UNANNOUNCED
 * where a rule asks for what is not known of the job: it might forbid something.
 */
export function layersFor(
  subject: Subject,
  layers: readonly PolicyLayer[],
): readonly PolicyLayer[] {
  return layers
    .flatMap((layer) => {
      const specificity = specificityOf(layer, subject)
      return specificity === undefined ? [] : [{ layer, specificity }]
    })
    .sort((one, other) => compare(one.specificity, other.specificity)) // stable: the later stays later
    .map(({ layer }) => layer)
}

/** Reports whether any rule asks for this: names may take a question to a directory server each. */
export const asksFor = (key: MatchKey, layers: readonly PolicyLayer[]): boolean =>
  layers.some(({ match }) => match?.[key] !== undefined)

/** Undefined: the layer is not for this subject. */
function specificityOf({ name, match }: PolicyLayer, subject: Subject): Specificity | undefined {
  const unknown: MatchKey[] = []
  const specificity: number[] = []
  for (const key of MATCH_KEYS) {
    const patterns = match?.[key]
    const names = patterns === undefined ? [] : namesOf(subject, key)
    if (names === undefined) unknown.push(key)
    const rank = patterns === undefined || names === undefined ? 0 : rankOf(names, patterns)
    if (rank === undefined) return undefined
    specificity.push(rank)
  }
  const [key] = unknown
  if (key === undefined) return specificity
  throw new HepwrapError(
    'HW_JOB_UNANNOUNCED',
    `${subject.job?.title ?? 'the job'} has not been announced with what ${name} asks for (${key})`,
  )
}

const compare = (one: Specificity, other: Specificity): number => {
  const at = one.findIndex((rank, index) => rank !== other[index])
  return at < 0 ? 0 : (one[at] ?? 0) - (other[at] ?? 0)
}

/** Undefined: nobody knows. */
function namesOf(subject: Subject, key: MatchKey): readonly string[] | undefined {
  const { uid, user, groups, cluster, node, job } = subject
  switch (key) {
    case 'users':
      return present(user, String(uid))
    case 'groups':
      return groups.flatMap(({ gid, name }) => present(name, String(gid)))
    case 'accounts':
      return job === undefined ? [] : job.account === undefined ? undefined : [job.account]
    case 'partitions':
      return job === undefined ? [] : job.partition === undefined ? undefined : [job.partition]
    case 'clusters':
      return [cluster]
    case 'nodes':
      return [node]
  }
}

const present = (...names: (string | undefined)[]): readonly string[] =>
  names.filter((name) => name !== undefined)

/** Undefined: none matches. */
function rankOf(names: readonly string[], patterns: readonly string[]): number | undefined {
  if (patterns.some((pattern) => names.includes(pattern))) return 2
  return patterns.some((pattern) => names.some((name) => matchesGlob(name, pattern)))
    ? 1
    : undefined
}
