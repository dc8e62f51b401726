// Request, caller, job and configuration to a RunPlan: translation and syntax, pure. Every field of the request is either taken
// over here or refused here; what the site or the job allows is asked by policy/, of the finished plan.
import { HepwrapError, quote } from '../base/errors.js'
import type { RunId } from '../base/ids.js'
import type { DaemonConfig } from '../config/schema.js'
import { valuesOf, type SitePolicy } from '../rules/site-policy.js'
import { parseSize } from '../rules/sizes.js'
import type { Caller } from '../identity/caller.js'
import type { JobRef } from '../slurm/job-of.js'
import type { JobFacts } from '../wire/job-api.js'
import type { PullMode, RunRequest } from '../wire/run-api.js'
import { MAX_STRING_BYTES, MAX_TOTAL_BYTES, planEnvironment } from './environment.js'
import { parseImageRef } from './image-ref.js'
import { mountOver, normalized, planMounts } from './mounts.js'
import type { JobLimits, PlanMount, Rlimits, RunPlan } from './run-plan.js'
import { planUlimits } from './ulimits.js'

export interface PlanInput {
  readonly runId: RunId
  readonly request: RunRequest
  readonly caller: Caller
  readonly job: JobRef | undefined
  readonly jobFacts: JobFacts | undefined
  readonly jobLimits: JobLimits
  readonly rlimits?: Rlimits | undefined
  readonly config: Pick<DaemonConfig, 'node'>
  readonly site: SitePolicy
}

// No "." or ".." component, nothing that needs quoting.
const DEVICE = /^\/dev(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9_.+:-]+)+$/
const ENGINE_SHM_BYTES = 64 * 1024 * 1024
// Docker's own floors.
const MIN_MEMORY_BYTES = 6 * 1024 * 1024
const MIN_CPUS = 0.01

/** Throws a HepwrapError that names the option and its value for everything that cannot be understood. */
export function makePlan(input: PlanInput): RunPlan {
  const { runId, request, caller, job, jobFacts, jobLimits, rlimits, config, site } = input
  refuseForbidden(request)
  refuseNul(request)
  const mounts = planMounts(request, site)
  return {
    runId,
    caller,
    job,
    jobFacts,
    jobLimits,
    rlimits,
    image: parseImageRef(request.image),
    pull: request.pull ?? usualPull(site),
    entrypoint: request.entrypoint,
    args: checkedArgs(request.command),
    env: planEnvironment(request, site),
    workdir: planWorkdir(request, mounts),
    interactive: request.interactive,
    tty: request.tty,
    terminal: checkedTerminal(request),
    name: checkedName(request.name),
    labels: checkedLabels(request.labels),
    network: request.network ?? usualNetwork(site),
    readOnlyRootfs: request.read_only,
    devices: checkedDevices(request.devices),
    shmSizeBytes: request.shm_size_bytes ?? usualShm(site),
    ulimits: planUlimits(request.ulimits, rlimits, site['ceilings.ulimits'].value),
    stopTimeoutMs: (request.stop_timeout_s ?? config.node.stop_timeout_s) * 1000,
    memoryBytes: atLeast('--memory', request.memory_bytes, MIN_MEMORY_BYTES),
    cpus: atLeast('--cpus', request.cpus, MIN_CPUS),
    pidsMax: site['ceilings.pids'].value,
    mounts,
    home: passwdField(request.home),
    shell: passwdField(request.shell),
    verbose: request.verbose,
  }
}

function refuseForbidden({ forbidden }: RunRequest): void {
  const [first] = forbidden
  if (first !== undefined)
    throw new HepwrapError('HW_OPTION_FORBIDDEN', `option ${quote(first)} is never allowed`)
}

/** Texts that end up in execve(2) or in a path; those of mounts, environment and image are checked where they are read. */
function refuseNul({ command, entrypoint = '', workdir = '' }: RunRequest): void {
  const bad = [...command, entrypoint, workdir].find((text) => text.includes('\0'))
  if (bad !== undefined) throw invalid(`${quote(bad)} holds a NUL byte`)
}

function checkedArgs(args: readonly string[]): readonly string[] {
  let totalBytes = 0
  for (const arg of args) {
    const bytes = Buffer.byteLength(arg) + 1
    if (bytes > MAX_STRING_BYTES)
      throw tooLarge(`an argument has ${bytes} bytes, more than ${MAX_STRING_BYTES}`)
    totalBytes += bytes
  }
  if (totalBytes > MAX_TOTAL_BYTES)
    throw tooLarge(`the arguments have ${totalBytes} bytes, more than ${MAX_TOTAL_BYTES}`)
  return args
}

/** Docker's default, or less where the site allows less. */
const usualPull = (site: SitePolicy): PullMode =>
  site['images.pull'].value === 'never' ? 'never' : 'missing'

/** The host's, as of a process of the job's; where the site does not allow it, the first that it does. */
const usualNetwork = ({ network }: SitePolicy): RunPlan['network'] =>
  valuesOf(network).includes('host') ? 'host' : 'none'

/** Undefined: the engine's own. Docker's usual 64 MiB where the site has a ceiling, which the engine does not know of, or less. */
function usualShm(site: SitePolicy): number | undefined {
  const ceiling = parseSize(site['ceilings.shm'].value)
  return ceiling === undefined ? undefined : Math.min(ceiling, ENGINE_SHM_BYTES)
}

function checkedDevices(devices: readonly string[] = []): readonly string[] {
  const bad = devices.find((path) => !DEVICE.test(path))
  if (bad !== undefined)
    throw invalid(`--device ${quote(bad)}: a path below /dev is meant, "/dev/fuse"`)
  return [...new Set(devices)]
}

/** Undefined: the image's own. The caller's cwd only where the container has it. */
function planWorkdir(request: RunRequest, mounts: readonly PlanMount[]): string | undefined {
  const { workdir, cwd } = request
  if (workdir !== undefined) {
    if (!workdir.startsWith('/'))
      throw invalid(`--workdir ${quote(workdir)} is not an absolute path`)
    return normalized(workdir)
  }
  if (!cwd.startsWith('/') || cwd.includes('\0')) return undefined
  const path = normalized(cwd)
  const mount = mountOver(path, mounts)
  if (mount === undefined) return undefined
  const isSamePath = mount.kind !== 'tmpfs' && mount.source === mount.target
  return isSamePath || mount.target === path ? path : undefined
}

function checkedTerminal({ tty, terminal }: RunRequest): RunPlan['terminal'] {
  if (tty && terminal === undefined)
    throw invalid('-t needs a terminal, and the client has none: use srun --pty, or leave -t out')
  return tty ? terminal : undefined
}

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/

function checkedName(name: string | undefined): string | undefined {
  if (name !== undefined && !NAME.test(name))
    throw invalid(
      `--name ${quote(name)}: only letters, digits, "_", "." and "-", a letter or digit first`,
    )
  return name
}

function checkedLabels(labels: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  for (const [key, value] of Object.entries(labels)) {
    if (!NAME.test(key))
      throw invalid(
        `--label ${quote(key)}: only letters, digits, "_", "." and "-", a letter or digit first`,
      )
    if (key.startsWith('hepwrap.'))
      throw invalid(`--label ${quote(key)}: hepwrap's own labels begin so`)
    if (value.includes('\0')) throw invalid(`--label ${quote(key)} holds a NUL byte`)
  }
  if (labelsLength(labels) > MAX_LABELS)
    throw tooLarge(`the labels have more than ${MAX_LABELS} characters together`)
  return labels
}

/** Labels are kept in the record, for ever. */
export const MAX_LABELS = 8192

/** Characters of keys and values together. */
export const labelsLength = (labels: Readonly<Record<string, string>>): number =>
  Object.entries(labels).reduce((sum, [key, value]) => sum + key.length + value.length, 0)

function atLeast(option: string, value: number | undefined, minimum: number): number | undefined {
  if (value !== undefined && !(value >= minimum))
    throw invalid(`${option} ${value} is below the least possible, ${minimum}`)
  return value
}

/** A path as a field of a passwd line can hold it (a line feed would begin another line); anything else is as if the client had not said it. */
const passwdField = (path: string | undefined): string | undefined =>
  path !== undefined && /^\/[^:\u0000-\u001f\u007f]*$/.test(path) ? path : undefined

const invalid = (what: string) => new HepwrapError('HW_OPTION_INVALID', what)
const tooLarge = (what: string) => new HepwrapError('HW_REQUEST_TOO_LARGE', what)
