// Podman's differences from Docker, all of them. What both do alike is asked of both alike, through Podman's Docker API (1.41 of
// `podman system service`); what is below was read in the sources of Podman 4.3.1 and 5.4.2 and is held by the contract suite.
//
// A container is created by Podman's own API. Behind its Docker API (pkg/api/handlers/compat/containers_create.go) a mount becomes
// "type=bind,source=…,target=…", where a comma in a user's target would begin another option; Runtime and CgroupnsMode are
// passed over; a source that is missing is made, as root; and a read-only root gets writable /run, /tmp and /var/tmp.
import { readFileSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type Docker from 'dockerode'
import { HepwrapError, quote } from '../base/errors.js'
import { OOM_SCORE_ADJ } from './create-options.js'
import type { Dialect, NamedImage } from './dialect.js'
import type { BindMount, ContainerSpec, TmpfsSpec } from './engine.js'
import { tightened, type SeccompProfile } from './podman-seccomp.js'

/** The lowest version that every Podman from 4.0 on serves. */
const API = '/v4.0.0/libpod'
/** Docker's default; Podman's is 64,000 KiB (containers.conf shm_size). */
const SHM_BYTES = 64 * 1024 * 1024

/** `runDir`: a directory of root's that Podman sees, too. */
export function createPodman(runDir: string): Dialect {
  let seccompPath: string | undefined
  return {
    ...PODMAN,
    create: async (docker, spec) => {
      seccompPath ??= await writeSeccomp(docker, runDir)
      const image = await inspectImage(docker, spec.imageId)
      requireTame(image)
      const created = await ask<{ readonly Id: string }>(docker, {
        path: `${API}/containers/create`,
        method: 'POST',
        body: specGenerator(spec, { variables: variablesOf(image), seccompPath }),
      })
      return created.Id
    },
  }
}

const PODMAN: Omit<Dialect, 'create'> = {
  name: 'podman',
  // Podman's Docker API leaves each tar in /tmp and, to 4.x, passes over the tag.
  importImage: async (docker, tar, name) => {
    await ask(docker, {
      path: `${API}/images/import?`,
      query: { reference: name },
      method: 'POST',
      body: Readable.from([tar]),
    })
  },

  // Digests are kept by content and told under its first name only (libimage's RepoDigests): each is good for every name.
  repoDigests: ({ RepoTags, RepoDigests }: NamedImage) => {
    const digests = (RepoDigests ?? []).map((entry) => entry.slice(entry.indexOf('@')))
    const tagged = (RepoTags ?? []).map((name) => name.slice(0, name.lastIndexOf(':')))
    const digested = (RepoDigests ?? []).map((entry) => entry.slice(0, entry.indexOf('@')))
    return [...new Set([...digested, ...tagged])].flatMap((name) =>
      [...new Set(digests)].map((digest) => `${name}${digest}`),
    )
  },
}

interface RawInfo {
  readonly host: { readonly security: { readonly seccompProfilePath?: string } }
}

async function writeSeccomp(docker: Docker, runDir: string): Promise<string> {
  const { host } = await ask<RawInfo>(docker, { path: `${API}/info`, method: 'GET' })
  const { seccompProfilePath = '' } = host.security
  if (seccompProfilePath === '')
    throw new HepwrapError('HW_ENGINE_FAILED', 'Podman has no seccomp profile')
  const profile = JSON.parse(readFileSync(seccompProfilePath, 'utf8')) as SeccompProfile
  const path = join(runDir, 'podman-seccomp.json')
  writeFileSync(path, JSON.stringify(tightened(profile)), { mode: 0o600 })
  return path
}

interface RawImage {
  readonly Annotations?: Readonly<Record<string, string>> | null
  readonly Config?: { readonly Env?: readonly string[] | null } | null
}

const inspectImage = (docker: Docker, id: string): Promise<RawImage> =>
  ask(docker, { path: `${API}/images/${id}/json`, method: 'GET' })

/**
 * Until 4.6 an image's annotations become the container's, which an OCI runtime obeys: crun's run.oci.seccomp_bpf_data
 * replaces the seccomp filter. Those that only describe an image are all that one may have.
 */
function requireTame({ Annotations }: RawImage): void {
  const odd = Object.keys(Annotations ?? {}).find(
    (key) => !key.startsWith('org.opencontainers.image.'),
  )
  if (odd !== undefined)
    throw new HepwrapError(
      'HW_IMAGE_REFUSED',
      `the image has the annotation ${quote(odd)}, which Podman would hand to the OCI runtime`,
    )
}

const variablesOf = ({ Config }: RawImage): ReadonlySet<string> =>
  new Set((Config?.Env ?? []).map((entry) => entry.split('=', 1)[0] ?? ''))

interface Surroundings {
  /** Names of what the image has in its environment. */
  readonly variables: ReadonlySet<string>
  readonly seccompPath: string
}

/**
 * Podman's SpecGenerator (pkg/specgen/specgen.go), field by field as create-options.ts has it. What is not said is the default of
 * the site's containers.conf; what that could weaken is said.
 */
export function specGenerator(
  spec: ContainerSpec,
  { variables, seccompPath }: Surroundings,
): string {
  const [program, ...rest] = spec.argv
  const said = JSON.stringify({
    name: spec.name,
    image: spec.imageId,
    entrypoint: program === undefined ? [] : [program],
    command: rest,
    env: spec.env,
    // Its own, which Docker has not; a terminal's TERM is Docker's, too.
    unsetenv: ['container', ...(spec.tty ? [] : ['TERM'])].filter((name) => !variables.has(name)),
    env_host: false,
    httpproxy: false,
    user: `${spec.uid}:${spec.gid}`,
    groups: spec.groups.map(String),
    work_dir: '/',
    labels: spec.labels,
    terminal: spec.tty,
    stdin: spec.interactive,
    ...POWERS,
    seccomp_policy: 'default',
    seccomp_profile_path: seccompPath,
    read_only_filesystem: spec.readOnlyRootfs,
    read_write_tmpfs: false,
    mounts: spec.mounts.map((mount) => (mount.kind === 'bind' ? bind(mount) : tmpfs(mount))),
    devices: spec.devices.map(device),
    netns: { nsmode: spec.network },
    shm_size: spec.shmSizeBytes ?? SHM_BYTES,
    ...(spec.runtime !== '' && { oci_runtime: spec.runtime }),
  })
  return spec.ulimits.length === 0 ? said : `${said.slice(0, -1)},"r_limits":${rlimits(spec)}}`
}

/** The same for every container: nothing of a request's or of containers.conf's is in it. */
const POWERS = {
  privileged: false,
  cap_add: [],
  cap_drop: ['ALL'],
  no_new_privileges: true,
  userns: { nsmode: 'host' },
  pidns: { nsmode: 'private' },
  ipcns: { nsmode: 'private' },
  utsns: { nsmode: 'private' },
  cgroupns: { nsmode: 'host' },
  oom_score_adj: OOM_SCORE_ADJ,
  log_configuration: { driver: 'none' },
  healthconfig: { Test: ['NONE'] },
  restart_policy: 'no',
  init: false,
  systemd: 'false', // else a command that is called so gets writable cgroups
  sdnotifyMode: 'ignore', // else systemd's socket of the service is mounted
  manage_password: false, // passwd and group are ours
  image_volume_mode: 'ignore', // an image's VOLUME may be /proc, which crun would mount
  stop_signal: constants.signals.SIGTERM,
  stop_timeout: 0, // a removal by force kills at once
} as const

const bind = ({ source, target, readOnly, propagation }: BindMount): object => ({
  type: 'bind',
  source,
  destination: target,
  options: ['rbind', readOnly ? 'ro' : 'rw', propagation],
})

/** As Docker mounts one. `notmpcopyup`: Podman fills it from the image, in a cgroup that is not the job's. */
const tmpfs = ({ target, sizeBytes, mode = 0o1777 }: TmpfsSpec): object => ({
  type: 'tmpfs',
  source: 'tmpfs',
  destination: target,
  options: [
    ...['rw', 'nosuid', 'nodev', 'noexec', 'notmpcopyup', `mode=${mode.toString(8)}`],
    ...(sizeBytes === undefined ? [] : [`size=${sizeBytes}`]),
  ],
})

/** "PATH:PATH:rw" to Podman. */
function device(path: string): object {
  if (path.includes(':'))
    throw new HepwrapError(
      'HW_ENGINE_FAILED',
      `Podman takes no device ${quote(path)}: it has a colon`,
    )
  return { path: `${path}:${path}:rw` }
}

/** Of an uint64 RLIM_INFINITY is the largest, which a number of JavaScript's cannot be: written as text. */
const rlimits = ({ ulimits }: ContainerSpec): string => {
  const limit = (value: number) => (value === -1 ? '18446744073709551615' : `${value}`)
  const entries = ulimits.map(
    ({ name, soft, hard }) =>
      `{"type":${JSON.stringify(name)},"soft":${limit(soft)},"hard":${limit(hard)}}`,
  )
  return `[${entries.join(',')}]`
}

interface Request {
  readonly path: string
  readonly method: 'GET' | 'POST'
  readonly query?: object
  /** JSON, or a stream. */
  readonly body?: string | Readable
}

/** A request outside of Docker's API, over the same connections. */
const ask = <T>(docker: Docker, { path, query, method, body }: Request): Promise<T> =>
  new Promise((resolve, reject) => {
    const isJson = typeof body === 'string'
    docker.modem.dial(
      {
        path,
        method,
        headers: { 'Content-Type': isJson ? 'application/json' : 'application/x-tar' },
        file: isJson ? Buffer.from(body) : body,
        ...(query !== undefined && { options: { _query: query } }),
        statusCodes: { 200: true, 201: true, 404: 'no such image', 500: 'server error' },
      },
      (error: Error | null, answer: unknown) => {
        if (error === null) resolve(answer as T)
        else reject(error)
      },
    )
  })
