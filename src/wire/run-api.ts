// What a client and the daemon say about one run. The schema is the contract; no field can carry a user, a group or a job.
import { Type, type Static } from '@sinclair/typebox'
import type { DryRun } from './policy-api.js'

const strict = { additionalProperties: false } as const
const Text = (maxLength: number) => Type.String({ maxLength })
/**
 * A key of a record is bounded by its pattern alone: TypeBox ignores its maxLength, and by default takes a key with a line
 * feed in it, with a value of any kind.
 */
const Key = (maxLength: number) => Type.String({ pattern: `^[^]{0,${maxLength}}$` })
const EnvMap = Type.Record(Key(4096), Text(1024 * 1024), strict)

export const MountRequest = Type.Object(
  {
    /** As the user wrote it, or as we chose it (HOME, cwd); for messages only. */
    source: Text(4096),
    /** The client's own O_PATH descriptor of the source, opened as the user. */
    fd: Type.Optional(Type.Integer({ minimum: 0, maximum: 0x7fffffff })),
    /** Why the client could not open the source: an errno name such as "ENOENT". */
    error: Type.Optional(Text(32)),
    target: Text(4096),
    read_only: Type.Boolean(),
    /** A mount that we chose is left out quietly where it cannot be; one the user asked for is refused. */
    origin: Type.Union([Type.Literal('user'), Type.Literal('home'), Type.Literal('cwd')]),
  },
  strict,
)

export const TmpfsRequest = Type.Object(
  {
    target: Text(4096),
    size_bytes: Type.Optional(Type.Integer({ minimum: 1 })),
    /** Permission bits, e.g. 0o1777. */
    mode: Type.Optional(Type.Integer({ minimum: 0, maximum: 0o7777 })),
  },
  strict,
)

export const UlimitRequest = Type.Object(
  { name: Text(32), soft: Type.Integer({ minimum: -1 }), hard: Type.Integer({ minimum: -1 }) },
  strict,
)

export const PullMode = Type.Union([
  Type.Literal('missing'),
  Type.Literal('never'),
  Type.Literal('always'),
])

export const RunRequest = Type.Object(
  {
    image: Text(1024),
    /** Empty: the image's own command. */
    command: Type.Array(Text(1024 * 1024), { maxItems: 65536 }),
    /** Replaces the image's entrypoint; "" removes it. */
    entrypoint: Type.Optional(Text(4096)),
    /** From -e and --env-file, values resolved by the client. */
    env: EnvMap,
    /** The caller's environment; the daemon picks what passes. */
    host_env: EnvMap,
    /** --host-env: all of host_env but PATH and LD_*. */
    all_host_env: Type.Boolean(),
    workdir: Type.Optional(Text(4096)),
    interactive: Type.Boolean(),
    tty: Type.Boolean(),
    terminal: Type.Optional(
      Type.Object(
        {
          rows: Type.Integer({ minimum: 0, maximum: 65535 }),
          columns: Type.Integer({ minimum: 0, maximum: 65535 }),
        },
        strict,
      ),
    ),
    name: Type.Optional(Text(255)),
    /** Kept in the record, also of a refusal: few and small, so that nobody fills the ledger by them. */
    labels: Type.Record(Key(128), Text(1024), { ...strict, maxProperties: 32 }),
    /** Absent: the host's, or what the site allows in its place. */
    network: Type.Optional(Type.Union([Type.Literal('host'), Type.Literal('none')])),
    read_only: Type.Boolean(),
    /** Paths below /dev. */
    devices: Type.Optional(Type.Array(Text(255), { maxItems: 64 })),
    shm_size_bytes: Type.Optional(Type.Integer({ minimum: 1 })),
    ulimits: Type.Array(UlimitRequest, { maxItems: 64 }),
    /** Seconds between SIGTERM and SIGKILL. */
    stop_timeout_s: Type.Optional(Type.Integer({ minimum: 0, maximum: 3600 })),
    pull: Type.Optional(PullMode),
    memory_bytes: Type.Optional(Type.Integer({ minimum: 1 })),
    cpus: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
    mounts: Type.Array(MountRequest, { maxItems: 256 }),
    tmpfs: Type.Array(TmpfsRequest, { maxItems: 64 }),
    /** Options of docker's that the user gave and hepwrap never allows, as written: refused here so that a record is kept. */
    forbidden: Type.Array(Text(4096), { maxItems: 64 }),
    /** HOME for passwd and the environment; cosmetic, so the client's word is good enough. */
    home: Type.Optional(Text(4096)),
    shell: Type.Optional(Text(4096)),
    cwd: Text(4096),
    verbose: Type.Boolean(),
    /** Judge it and say what would be asked of the engine; start nothing. */
    dry_run: Type.Optional(Type.Boolean()),
  },
  strict,
)

export type MountRequest = Static<typeof MountRequest>
export type TmpfsRequest = Static<typeof TmpfsRequest>
export type UlimitRequest = Static<typeof UlimitRequest>
export type PullMode = Static<typeof PullMode>
export type RunRequest = Static<typeof RunRequest>

/** Sent before the engine's output begins. */
export type RunEvent =
  | { readonly kind: 'opened'; readonly run_id: string }
  | {
      readonly kind: 'pull'
      readonly image: string
      readonly status: string
      readonly current?: number
      readonly total?: number
    }
  /** For --dry-run: all that it says. */
  | { readonly kind: 'dry-run'; readonly report: DryRun }
  /** For --verbose: a step that is done, and how long it took. */
  | { readonly kind: 'step'; readonly name: string; readonly ms: number }

/** The last frame: the exit status of `hepwrap run`, and where it is not the command's own, why. */
export interface RunClose {
  readonly run_id?: string
  readonly exit: number
  readonly code?: string
  readonly message?: string
}

/** Any reply that is not a success: `{code, message}`. */
export interface ErrorReply {
  readonly code: string
  readonly message: string
  readonly run_id?: string
}
