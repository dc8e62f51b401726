// The options of `hepwrap run`: one table, each with what it changes. Opens and asks nothing.
import { HepwrapError } from '../base/errors.js'
import type { RunRequest } from '../wire/run-api.js'
import { DOCKER_OPTIONS } from './docker-options.js'
import { planEnvironment } from './env-options.js'
import { parseMountOption, parseTmpfs, parseVolume, type MountWish } from './mount-options.js'
import {
  invalid,
  parseBytes,
  parseCpus,
  parseLabel,
  parseName,
  parsePull,
  parseStopTimeout,
  parseUlimit,
  parseWorkdir,
} from './option-values.js'
import { parseOptions, parseSwitch, type GivenOption, type OptionSpec } from './options.js'

/** What the command line alone decides of the request. */
export type LineRequest = Omit<
  RunRequest,
  'mounts' | 'host_env' | 'terminal' | 'home' | 'shell' | 'cwd'
>

export interface RunLine {
  readonly request: LineRequest
  /** Of --volume and --mount, in the order given. */
  readonly wishes: readonly MountWish[]
  readonly mountHome: boolean
  readonly mountCwd: boolean
  /** A hepwrapd.toml that names the socket. */
  readonly config: string | undefined
  readonly help: boolean
}

interface Draft {
  readonly request: LineRequest
  readonly wishes: MountWish[]
  readonly envFiles: string[]
  readonly envWords: string[]
  mountHome: boolean
  mountCwd: boolean
  config: string | undefined
  help: boolean
}

interface RunOption extends OptionSpec {
  readonly apply: (draft: Draft, value: string, option: GivenOption) => void
}

const takes = (name: string, apply: RunOption['apply'], short?: string): RunOption => ({
  name,
  takesValue: true,
  apply,
  ...(short !== undefined && { short }),
})

const switches = (
  name: string,
  apply: (draft: Draft, on: boolean) => void,
  short?: string,
): RunOption => ({
  name,
  takesValue: false,
  apply: (draft, _, option) => apply(draft, parseSwitch(option)),
  ...(short !== undefined && { short }),
})

// What docker's --rm and --init ask for always holds; without them there is nothing to be had.
const always = (name: string): RunOption =>
  switches(name, (draft, on) => {
    if (!on) forbid(draft, { name, value: 'false' })
  })

const OWN_OPTIONS: readonly RunOption[] = [
  takes('volume', ({ wishes }, value) => wishes.push(parseVolume(value)), 'v'),
  takes('mount', applyMount),
  takes('tmpfs', ({ request }, value) => request.tmpfs.push(parseTmpfs(value))),
  takes('env', ({ envWords }, value) => envWords.push(value), 'e'),
  takes('env-file', ({ envFiles }, value) => envFiles.push(value)),
  takes('workdir', ({ request }, value) => (request.workdir = parseWorkdir(value)), 'w'),
  switches('interactive', ({ request }, on) => (request.interactive = on), 'i'),
  switches('tty', ({ request }, on) => (request.tty = on), 't'),
  takes('entrypoint', ({ request }, value) => (request.entrypoint = value)),
  takes('name', ({ request }, value) => (request.name = parseName(value))),
  takes('label', applyLabel, 'l'),
  takes('network', applyNetwork),
  takes('net', applyNetwork),
  takes(
    'shm-size',
    ({ request }, value) => (request.shm_size_bytes = parseBytes('--shm-size', value)),
  ),
  switches('read-only', ({ request }, on) => (request.read_only = on)),
  takes('device', applyDevice),
  takes('ulimit', ({ request }, value) => request.ulimits.push(parseUlimit(value))),
  takes('stop-timeout', ({ request }, value) => {
    request.stop_timeout_s = parseStopTimeout('--stop-timeout', value)
  }),
  takes('pull', ({ request }, value) => (request.pull = parsePull(value))),
  takes(
    'memory',
    ({ request }, value) => (request.memory_bytes = parseBytes('--memory', value)),
    'm',
  ),
  takes('cpus', ({ request }, value) => (request.cpus = parseCpus(value))),
  switches('host-env', ({ request }, on) => (request.all_host_env = on)),
  switches('no-home', (draft, on) => (draft.mountHome = !on)),
  switches('no-cwd', (draft, on) => (draft.mountCwd = !on)),
  switches('dry-run', ({ request }, on) => {
    if (on) request.dry_run = true
  }),
  switches('verbose', ({ request }, on) => (request.verbose = on), 'V'),
  takes('config', (draft, value) => (draft.config = value)),
  switches('help', (draft, on) => (draft.help = on)),
  always('rm'),
  always('init'),
]

export function parseRunLine(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): RunLine {
  const { options, operands } = parseOptions(args, [...OWN_OPTIONS, ...DOCKER_OPTIONS], {
    stopAtOperand: true,
  })
  const [image, ...command] = operands
  const draft = emptyDraft(image ?? '', command)
  for (const option of options) {
    const own = OWN_OPTIONS.find(({ name }) => name === option.name)
    if (own === undefined) forbid(draft, option)
    else own.apply(draft, option.value ?? '', option)
  }
  if (image === undefined && !draft.help) {
    throw new HepwrapError(
      'HW_USAGE',
      'the image is missing: hepwrap run [options] IMAGE [COMMAND...]',
    )
  }
  draft.request.env = planEnvironment(draft.envFiles, draft.envWords, environment)
  return draft
}

const emptyDraft = (image: string, command: string[]): Draft => ({
  request: {
    image,
    command,
    env: {},
    all_host_env: false,
    interactive: false,
    tty: false,
    labels: {},
    read_only: false,
    ulimits: [],
    tmpfs: [],
    forbidden: [],
    verbose: false,
  },
  wishes: [],
  envFiles: [],
  envWords: [],
  mountHome: true,
  mountCwd: true,
  config: undefined,
  help: false,
})

const MAX_FORBIDDEN = 64

/** Kept in one spelling, `--user=0`, whichever the user chose; one is enough for a refusal. */
function forbid({ request }: Draft, { name, value }: GivenOption): void {
  const written = value === undefined ? `--${name}` : `--${name}=${value}`
  if (request.forbidden.length < MAX_FORBIDDEN) request.forbidden.push(written.slice(0, 4096))
}

function applyMount({ request, wishes }: Draft, value: string): void {
  const mount = parseMountOption(value)
  if (mount.kind === 'bind') wishes.push(mount.wish)
  else request.tmpfs.push(mount.tmpfs)
}

function applyLabel({ request }: Draft, value: string): void {
  const [key, text] = parseLabel(value)
  if (key === '__proto__') throw invalid('--label', value, 'not a name for a label')
  request.labels[key] = text
}

/** "/dev/x", or docker's long way of saying the same; any other place or right is refused by name. */
function applyDevice(draft: Draft, value: string): void {
  const [, path] = /^(\/dev\/[^:]+)(?::\1)?(?::rw)?$/.exec(value) ?? []
  if (path === undefined) forbid(draft, { name: 'device', value })
  else draft.request.devices = [...(draft.request.devices ?? []), path]
}

function applyNetwork(draft: Draft, value: string): void {
  if (value === 'host' || value === 'none') draft.request.network = value
  else forbid(draft, { name: 'network', value })
}
