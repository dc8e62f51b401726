// hepwrapd.toml: every key with its type, its default and, for messages, what it must be. CONTRACT.md names the keys.
// Sections and keys keep the file's own spelling, so that config.node.state_dir is found by a search for either.
import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { ALWAYS_ENTRY_PATTERN } from './always-entry.js'
import { IMAGE_PATTERN_PATTERN } from './image-pattern.js'

// No "." or ".." component, no trailing or doubled slash: what is compared as text must be spelled in one way.
const PATH = '^(/(?!\\.{1,2}(/|$))[^/\\u0000-\\u001f\\u007f]+)+$'
// sun_path holds 108 bytes with the closing NUL.
const SOCKET_PATH_BYTES = 107
// The daemon makes sockets "<run_dir>/runs/<32 hex digits>/gate" below it: 43 more bytes.
const RUN_DIR_BYTES = 64
// Bytes are counted as characters: where the length matters, only ASCII.
const ASCII_PATH = '^(/(?!\\.{1,2}(/|$))[!-.0-~]+)+$'
const NAME = '^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$'

/** `expects` completes "must be …" in a message. */
const text = (expects: string, fallback: string, rule: { pattern?: string; maxLength?: number }) =>
  Type.String({ ...rule, expects, default: fallback })
const flag = (fallback: boolean) => Type.Boolean({ expects: 'true or false', default: fallback })
const count = (minimum: number, maximum: number, fallback: number) =>
  Type.Integer({
    minimum,
    maximum,
    expects: `a whole number from ${minimum} to ${maximum}`,
    default: fallback,
  })
const PATH_EXPECTED = 'an absolute path without . or .. or a / at the end'
const path = (fallback: string) => text(PATH_EXPECTED, fallback, { pattern: PATH, maxLength: 4095 })
const shortPath = (fallback: string, maxLength: number) =>
  text(`${PATH_EXPECTED}, in ASCII, of at most ${maxLength} bytes`, fallback, {
    pattern: ASCII_PATH,
    maxLength,
  })
const list = (expects: string, pattern: string, fallback: string[] = []) =>
  Type.Array(Type.String({ pattern, maxLength: 8192, expects }), {
    expects: 'a list of texts',
    default: fallback,
  })
const oneOf = <const Words extends readonly [string, ...string[]]>(words: Words) =>
  Type.Unsafe<Words[number]>(
    Type.String({
      enum: words,
      pattern: `^(${words.join('|')})$`,
      expects: `one of ${words.join(', ')}`,
      default: words[0],
    }),
  )
const section = <T extends Record<string, TSchema>>(keys: T) =>
  Type.Object(keys, { additionalProperties: false, expects: 'a table', default: {} })

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
    /** The first word of each choice is the default. */
    log_level: oneOf(['info', 'trace', 'debug', 'warn', 'error', 'fatal']),
    /** From the create request to the first instruction of the command. */
    start_timeout_s: count(1, 3600, 60),
    /** Between SIGTERM and SIGKILL, where the user names no --stop-timeout. */
    stop_timeout_s: count(0, 3600, 10),
  }),
  engine: section({
    socket: shortPath('/run/docker.sock', SOCKET_PATH_BYTES),
    runtime: text('the name of an OCI runtime, or empty', '', {
      pattern: '^[A-Za-z0-9._-]{0,64}$',
    }),
  }),
  slurm: section({
    outside_jobs: oneOf(['refuse', 'allow']),
    /** Refuse runs of jobs that no prolog announced. */
    require_prolog: flag(false),
    /** Whether a root caller inside a job may run containers. */
    root: oneOf(['refuse', 'allow']),
  }),
  images: section({
    allow: list(
      '"name", "name:tag" or "name@sha256:…", in which * stands for any characters and ? for one',
      IMAGE_PATTERN_PATTERN,
    ),
    /** The most that a user may ask for: never < missing < always. */
    pull: oneOf(['missing', 'never', 'always']),
  }),
  mounts: section({
    home: flag(true),
    cwd: flag(true),
    always: list(
      '"SRC:DST", "SRC:DST:ro" or "SRC:DST:rw" with absolute paths, and "?" behind it where SRC may be absent',
      ALWAYS_ENTRY_PATTERN,
      ['/cvmfs:/cvmfs:ro'],
    ),
    deny: list(PATH_EXPECTED, PATH),
  }),
  limits: section({
    runs_per_user: count(1, 1_000_000, 256),
    connections_per_user: count(1, 1_000_000, 512),
    request_timeout_s: count(1, 3600, 10),
  }),
  accounting: section({
    aggregator: text('an http:// or https:// address without a path, or empty', '', {
      pattern: '^$|^https?://[^\\s/?#@]+/?$',
    }),
    auth: oneOf(['munge', 'token']),
    token_file: text('an absolute path, or empty', '', { pattern: `^$|${PATH}` }),
  }),
})

type Frozen<T> = T extends readonly (infer Item)[]
  ? readonly Frozen<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Frozen<T[Key]> }
    : T

export type DaemonConfig = Frozen<Static<typeof DaemonConfigSchema>>
