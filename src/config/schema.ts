// hepwrapd.toml: every key with its type, its default and, for messages, what it must be. CONTRACT.md names the keys.
// Sections and keys keep the file's own spelling, so that config.node.state_dir is found by a search for either.
import { Type, type Static } from '@sinclair/typebox'
import { policyGroup, PolicyTable, RuleTable } from './policy-keys.js'
import type { PolicyLayer } from './policy-layers.js'
import {
  count,
  oneOf,
  flag,
  PATH,
  PATH_EXPECTED,
  section,
  text,
  type Frozen,
} from './value-types.js'

// sun_path holds 108 bytes with the closing NUL.
const SOCKET_PATH_BYTES = 107
// The daemon makes sockets "<run_dir>/runs/<32 hex digits>/gate" below it: 43 more bytes.
const RUN_DIR_BYTES = 64
// Bytes are counted as characters: where the length matters, only ASCII.
const ASCII_PATH = '^(/(?!\\.{1,2}(/|$))[!-.0-~]+)+$'
const NAME = '^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$'

const path = (fallback: string) => text(PATH_EXPECTED, fallback, { pattern: PATH, maxLength: 4095 })
const shortPath = (fallback: string, maxLength: number) =>
  text(`${PATH_EXPECTED}, in ASCII, of at most ${maxLength} bytes`, fallback, {
    pattern: ASCII_PATH,
    maxLength,
  })

export const DaemonConfigSchema = section({
  node: section({
    cluster: text('a name of letters, digits, ".", "_" and "-"', 'hepp', { pattern: NAME }),
    /** Empty in the file: the short host name; never empty once loaded. */
    name: text('a name of letters, digits, ".", "_" and "-", or empty', '', {
      pattern: `^$|${NAME}`,
    }),
    socket: shortPath('/run/hepwrap/hepwrapd.sock', SOCKET_PATH_BYTES),
    state_dir: path('/var/lib/hepwrap'),
    run_dir: shortPath('/run/hepwrap', RUN_DIR_BYTES),
    log_level: oneOf(['info', 'trace', 'debug', 'warn', 'error', 'fatal'], 'info'),
    /** From the create request to the first instruction of the command. */
    start_timeout_s: count(1, 3600, 60),
    /** Between SIGTERM and SIGKILL, where the user names no --stop-timeout. */
    stop_timeout_s: count(0, 3600, 10),
    /** HEPscore23 of the whole node; 0: not known. */
    hepscore: Type.Number({ minimum: 0, maximum: 1e6, expects: 'a number from 0 up', default: 0 }),
  }),
  engine: section({
    socket: shortPath('/run/docker.sock', SOCKET_PATH_BYTES),
    runtime: text('the name of an OCI runtime, or empty', '', {
      pattern: '^[A-Za-z0-9._-]{0,64}$',
    }),
  }),
  slurm: section({
    outside_jobs: oneOf(['refuse', 'allow'], 'refuse'),
    /** Refuse runs of jobs that no prolog announced. */
    require_prolog: flag(false),
  }),
  /** Short for [policy.images] and [policy.mounts]. */
  images: section(policyGroup('images')),
  mounts: section(policyGroup('mounts')),
  policy: Type.Optional(PolicyTable),
  rule: Type.Optional(
    Type.Array(RuleTable, { expects: 'a list of tables, each written [[rule]]' }),
  ),
  limits: section({
    connections_per_user: count(1, 1_000_000, 512),
    request_timeout_s: count(1, 3600, 10),
    requests_per_second: count(1, 1_000_000, 64),
    requests_burst: count(1, 1_000_000, 512),
  }),
  accounting: section({
    aggregator: text('an http:// or https:// address without a path, or empty', '', {
      pattern: '^$|^https?://[^\\s/?#@]+/?$',
    }),
    auth: oneOf(['munge', 'token'], 'munge'),
    token_file: text('an absolute path, or empty', '', { pattern: `^$|${PATH}` }),
    ca_file: text('an absolute path, or empty', '', { pattern: `^$|${PATH}` }),
    /** Records that are sent, and ended before, go. */
    keep_days: count(1, 36_500, 400),
    /** At that size, the oldest go sooner. */
    max_ledger_mb: count(1, 1_000_000, 1024),
  }),
  metrics: section({
    listen: text('ADDRESS:PORT, like "127.0.0.1:7781", or empty', '', {
      pattern: '^$|^([0-9A-Za-z.-]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}$',
    }),
  }),
})

export type DaemonSections = Omit<
  Static<typeof DaemonConfigSchema>,
  'images' | 'mounts' | 'policy' | 'rule'
>

export type DaemonConfig = Frozen<DaemonSections> & {
  /** [policy] with [images] and [mounts], then the rules as they stand in the file; rules/ puts them together. */
  readonly layers: readonly PolicyLayer[]
}
