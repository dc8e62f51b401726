// What a site may say of its users' runs: the keys of [policy] and of every [[rule]], with their built-in values and the way in
// which a key's values of several layers become one. docs/policy.md tells the same to admins.
import { Type, type TSchema } from '@sinclair/typebox'
import { ALWAYS_ENTRY_PATTERN } from './always-entry.js'
import { count, flag, oneOf, PATH, PATH_EXPECTED } from './value-types.js'
import { IMAGE_PATTERN_PATTERN } from './image-pattern.js'
import { ULIMIT_NAMES } from './ulimit-names.js'

/** The value of the most specific layer that has the key holds. */
export interface LastKey<T> {
  readonly folding: 'last'
  readonly schema: TSchema
  readonly builtIn: T
}

/**
 * `list`: the list of the most specific layer holds; in it "..." stands for what the list was without that layer.
 * `denials`: the lists of all layers hold together; "!entry" takes one entry of a less specific layer back.
 * So whoever leaves something out gives less, never more.
 */
export interface ListKey {
  readonly folding: 'list' | 'denials'
  readonly schema: TSchema
  readonly builtIn: readonly string[]
}

const IMAGE_EXPECTED =
  '"name", "name:tag" or "name@sha256:…", in which * stands for any characters and ? for one'
// A variable's name, in which * stands for any characters.
const VARIABLE = '^[A-Za-z_*?][A-Za-z0-9_*?]{0,254}$'
const VARIABLE_EXPECTED = 'the name of a variable, in which * stands for any characters'
// "/" alone stands for every path.
const TREE = `^/$|${PATH}`
// No shared memory, no terminals: whoever may make files there could put a link to any device.
const DEVICE =
  '^/dev/(?!(?:shm|pts|mqueue)(?:/|$))(?!\\.{1,2}(?:/|$))[A-Za-z0-9_.*?-]+(?:/(?!\\.{1,2}(?:/|$))[A-Za-z0-9_.*?-]+)*$'
// No zero: of a tmpfs it is the kernel's "no limit", and of /dev/shm the engine's "as usual".
const SIZE = '^(?:[1-9][0-9]{0,14}[bkmgt]?)?$'

const texts = (expects: string, pattern: string, builtIn: readonly string[] = []): ListKey => ({
  folding: 'list',
  schema: listOf(`${expects}, or "..."`, `^\\.\\.\\.$|${pattern}`),
  builtIn,
})
const denials = (expects: string, pattern: string, builtIn: readonly string[] = []): ListKey => ({
  folding: 'denials',
  schema: listOf(
    `${expects}, with "!" before it to take one back`,
    pattern.replace(/^\^/, '^(?!\\.\\.\\.$)!?'),
  ),
  builtIn,
})
const last = <T>(schema: TSchema, builtIn: T): LastKey<T> => ({ folding: 'last', schema, builtIn })

const listOf = (expects: string, pattern: string): TSchema =>
  Type.Array(Type.String({ pattern, maxLength: 8192, expects }), { expects: 'a list of texts' })

const size = (): TSchema =>
  Type.String({ pattern: SIZE, expects: 'a size such as "512m" or "4g", or "" for no ceiling' })

const Ulimits = Type.Partial(
  Type.Object(
    Object.fromEntries(
      ULIMIT_NAMES.map((name) => [
        name,
        Type.Union([Type.Integer({ minimum: 0 }), Type.Literal('unlimited')], {
          expects: 'a whole number, or "unlimited"',
        }),
      ]),
    ),
  ),
  { additionalProperties: false, expects: 'a table of limits, e.g. {core = 0, nofile = 65536}' },
)

// What passes by default: CONTRACT.md.
const PASSING = [
  ...['SLURM_*', 'PMI*', 'PMIX*', 'OMPI_*', 'CUDA_VISIBLE_DEVICES', 'TERM', 'LANG', 'LC_*', 'TZ'],
  ...['USER', 'LOGNAME', 'HOME', 'SCRATCH', 'TMPDIR'],
]

export const POLICY_KEYS = {
  'images.allow': texts(IMAGE_EXPECTED, IMAGE_PATTERN_PATTERN),
  'images.deny': denials(IMAGE_EXPECTED, IMAGE_PATTERN_PATTERN),
  /** The most that a user may ask for: never < missing < always. */
  'images.pull': last<'missing' | 'never' | 'always'>(
    oneOf(['missing', 'never', 'always']),
    'missing',
  ),
  /** Files of public keys, one of which must have signed the image; none: no signature is asked for. */
  'images.require_signature': texts(PATH_EXPECTED, PATH),
  'mounts.home': last(flag(), true),
  'mounts.cwd': last(flag(), true),
  /** Where users' mounts, HOME and cwd may come from: these paths and all below. */
  'mounts.allow': texts(`${PATH_EXPECTED}, or "/"`, TREE, ['/']),
  'mounts.deny': denials(PATH_EXPECTED, PATH),
  'mounts.read_only': denials(PATH_EXPECTED, PATH),
  'mounts.always': texts(
    '"SRC:DST", "SRC:DST:ro" or "SRC:DST:rw" with absolute paths, and "?" behind it where SRC may be absent',
    ALWAYS_ENTRY_PATTERN,
    ['/cvmfs:/cvmfs:ro'],
  ),
  /** Variables of the caller that the container gets. */
  'environment.pass': texts(VARIABLE_EXPECTED, VARIABLE, PASSING),
  /** Variables of the caller that it does not get, not even by --host-env. */
  'environment.never': denials(VARIABLE_EXPECTED, VARIABLE, ['PATH', 'LD_*']),
  /** Variables that nobody may set, not even by -e. */
  'environment.refuse': denials(VARIABLE_EXPECTED, VARIABLE),
  network: texts('"host" or "none"', '^(?:host|none)$', ['host', 'none']),
  devices: texts('a path below /dev, in which * stands for any characters but "/"', DEVICE),
  /** Whether root may run containers, as root, in a job. */
  root: last<'refuse' | 'allow'>(oneOf(['refuse', 'allow']), 'refuse'),
  'ceilings.runs_per_user': last(count(1, 1_000_000), 256),
  'ceilings.runs_per_job': last(count(1, 1_000_000), 256),
  /** Processes and threads in one container. */
  'ceilings.pids': last(count(1, 4_194_304), 16_384),
  /** Of one tmpfs, and of /dev/shm. */
  'ceilings.tmpfs': last(size(), ''),
  'ceilings.shm': last(size(), ''),
  'ceilings.ulimits': last<Readonly<Record<string, number | 'unlimited'>>>(Ulimits, {}),
} as const

export type PolicyKey = keyof typeof POLICY_KEYS

export const POLICY_KEY_NAMES = Object.keys(POLICY_KEYS) as readonly PolicyKey[]

/** Whom a rule is for: all that it names must agree, of each list one entry. Globs. */
export const MATCH_KEYS = [
  'users',
  'groups',
  'accounts',
  'partitions',
  'clusters',
  'nodes',
] as const
export type MatchKey = (typeof MATCH_KEYS)[number]

/** The keys below "images." as a table's own. */
export const policyGroup = (group: string): Record<string, TSchema> =>
  Object.fromEntries(
    POLICY_KEY_NAMES.filter((key) => key.startsWith(`${group}.`)).map((key) => [
      key.slice(group.length + 1),
      Type.Optional(POLICY_KEYS[key].schema),
    ]),
  )

const table = (keys: Record<string, TSchema>) =>
  Type.Object(keys, { additionalProperties: false, expects: 'a table' })

const GROUPS = ['images', 'mounts', 'environment', 'ceilings']

const policyTable = (): Record<string, TSchema> => ({
  ...Object.fromEntries(
    POLICY_KEY_NAMES.filter((key) => !key.includes('.')).map((key) => [
      key,
      Type.Optional(POLICY_KEYS[key].schema),
    ]),
  ),
  ...Object.fromEntries(GROUPS.map((group) => [group, Type.Optional(table(policyGroup(group)))])),
})

const MATCH_EXPECTED = 'a list of names, at least one, in which * stands for any characters'
const Match = Type.Array(
  Type.String({
    minLength: 1,
    maxLength: 255,
    pattern: '^[^\\u0000-\\u001f\\u007f]+$',
    expects: 'a name',
  }),
  { minItems: 1, expects: MATCH_EXPECTED },
)

export const PolicyTable = table(policyTable())
export const RuleTable = table({
  name: Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$',
      expects: 'a name of at most 64 letters, digits, blanks, ".", "_" and "-"',
    }),
  ),
  ...Object.fromEntries(MATCH_KEYS.map((key) => [key, Type.Optional(Match)])),
  ...policyTable(),
})
