// ContainerSpec to the engine's create request (Docker Engine API 1.41, POST /containers/create), field by field.
// What is not written here is the engine's default; nothing of a user's request is ever merged in.
import type { ContainerCreateOptions, HostConfig } from 'dockerode'
import type { BindMount, ContainerSpec, TmpfsSpec } from './engine.js'

type MountSettings = NonNullable<HostConfig['Mounts']>[number]

/** The kernel's OOM killer takes a container's process before the client and slurmstepd, which share the job's limit. */
export const OOM_SCORE_ADJ = 500

export function createOptions(spec: ContainerSpec): ContainerCreateOptions {
  const [program, ...rest] = spec.argv
  return {
    name: spec.name,
    Image: spec.imageId,
    Entrypoint: program === undefined ? [] : [program],
    Cmd: rest,
    Env: Object.entries(spec.env).map(([key, value]) => `${key}=${value}`),
    User: `${spec.uid}:${spec.gid}`,
    WorkingDir: '/', // the init changes directory as the user; root might not get there (root-squashed NFS)
    Labels: { ...spec.labels },
    Tty: spec.tty,
    OpenStdin: spec.interactive,
    StdinOnce: spec.interactive,
    AttachStdin: spec.interactive,
    AttachStdout: true,
    AttachStderr: true,
    Healthcheck: { Test: ['NONE'] }, // an image's health check is an exec of the engine's, outside the job's cgroup
    StopSignal: 'SIGTERM',
    HostConfig: hostConfig(spec),
  }
}

/** API 1.41 has it, @types/dockerode does not. */
type HostConfigWithCgroupns = HostConfig & { readonly CgroupnsMode: 'host' | 'private' }

function hostConfig(spec: ContainerSpec): HostConfigWithCgroupns {
  return {
    Mounts: spec.mounts.map((mount) => (mount.kind === 'bind' ? bind(mount) : tmpfs(mount))),
    NetworkMode: spec.network,
    CapDrop: ['ALL'],
    SecurityOpt: ['no-new-privileges'],
    GroupAdd: spec.groups.map(String),
    Devices: spec.devices.map((path) => ({
      PathOnHost: path,
      PathInContainer: path,
      CgroupPermissions: 'rw',
    })),
    Privileged: false,
    PublishAllPorts: false,
    ReadonlyRootfs: spec.readOnlyRootfs,
    LogConfig: { Type: 'none', Config: {} },
    AutoRemove: false, // removed by us, after the counters are read
    RestartPolicy: { Name: 'no' },
    OomScoreAdj: OOM_SCORE_ADJ,
    Init: false, // ours is PID 1
    IpcMode: 'private',
    CgroupnsMode: 'host', // the payload sees the job's cgroup by its real name
    Ulimits: spec.ulimits.map(({ name, soft, hard }) => ({ Name: name, Soft: soft, Hard: hard })),
    ...(spec.shmSizeBytes === undefined ? {} : { ShmSize: spec.shmSizeBytes }),
    ...(spec.runtime === '' ? {} : { Runtime: spec.runtime }),
  }
}

const bind = (mount: BindMount): MountSettings => ({
  Type: 'bind',
  Source: mount.source,
  Target: mount.target,
  ReadOnly: mount.readOnly,
  BindOptions: { Propagation: mount.propagation },
})

const tmpfs = (mount: TmpfsSpec): MountSettings => ({
  Type: 'tmpfs',
  Source: '',
  Target: mount.target,
  TmpfsOptions: { SizeBytes: mount.sizeBytes ?? 0, Mode: mount.mode ?? 0o1777 },
})

/**
 * dockerode writes all that it is given into the request's address, too, where an engine logs it (a user's environment) and
 * takes no more than 1 MiB of it. Only the name belongs there.
 */
export const asBody = ({
  name,
  ...body
}: ContainerCreateOptions): ContainerCreateOptions & AddressAndBody => ({
  _query: { name },
  _body: body,
})

interface AddressAndBody {
  readonly _query: object
  readonly _body: object
}
