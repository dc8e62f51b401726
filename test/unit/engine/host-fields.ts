// HostConfig of the engine's create request, without the objects inside of it (nested-fields).
import { left, leftAll, set } from './request-field.js'

const CGROUP = "the run's own cgroup holds it, below the job's; the engine's own one is empty"
const WINDOWS = 'Windows only'
const DNS = "the node's own resolv.conf and hosts"
const NO_NETWORK = 'there is no network of its own but a loopback'

/** Resources: what the engine's cgroup of the container would say. The run's processes are moved out of it. */
const RESOURCE_FIELDS = [
  ...leftAll('HostConfig.', ['CpuShares', 'Memory', 'MemoryReservation', 'NanoCpus'], CGROUP),
  ...leftAll('HostConfig.', ['CpuPeriod', 'CpuQuota', 'CpusetCpus', 'CpusetMems'], CGROUP),
  ...leftAll('HostConfig.', ['MemorySwap', 'BlkioWeight', 'PidsLimit'], CGROUP),
  ...leftAll('HostConfig.', ['CpuRealtimePeriod', 'CpuRealtimeRuntime'], CGROUP),
  left('HostConfig.MemorySwappiness', CGROUP, { reports: [-1] }),
  left('HostConfig.KernelMemory', CGROUP, { until: 41 }),
  left('HostConfig.KernelMemoryTCP', CGROUP, { until: 51 }),
  left('HostConfig.OomKillDisable', 'the OOM killer may take it'),
  left('HostConfig.CgroupParent', "the engine's own; processes are moved to the job's"),
  left('HostConfig.DeviceCgroupRules', 'none; the job’s device cgroup decides besides'),
  ...leftAll('HostConfig.', ['CpuCount', 'CpuPercent'], WINDOWS),
  ...leftAll('HostConfig.', ['IOMaximumIOps', 'IOMaximumBandwidth'], WINDOWS),
  set('HostConfig.Init', 'always false: ours is PID 1'),
]

const NAMESPACE_FIELDS = [
  set('HostConfig.NetworkMode', '--network, one of "host" and "none" that the site allows'),
  set('HostConfig.IpcMode', 'always "private"'),
  set('HostConfig.CgroupnsMode', 'always "host"; /proc and /sys are not writable all the same'),
  left('HostConfig.PidMode', 'a pid namespace of its own'),
  left('HostConfig.UTSMode', 'a namespace of its own'),
  left('HostConfig.UsernsMode', "the engine's own; ids are the node's, with no capability"),
  left('HostConfig.Cgroup', 'no other container is named'),
  left('HostConfig.Isolation', WINDOWS, { reports: ['default'] }),
]

const POWER_FIELDS = [
  set('HostConfig.Privileged', 'always false'),
  left('HostConfig.CapAdd', 'none'),
  set('HostConfig.CapDrop', 'always ALL'),
  set('HostConfig.SecurityOpt', "always no-new-privileges; seccomp and LSM are the engine's own"),
  set('HostConfig.GroupAdd', "the caller's supplementary groups, by number, as the kernel told"),
  set('HostConfig.OomScoreAdj', 'always 500: before the client and slurmstepd'),
  left('HostConfig.Sysctls{}', 'none'),
  left('HostConfig.MaskedPaths', "the engine's own list", { reports: [/"\/proc\/kcore"/] }),
  left('HostConfig.ReadonlyPaths', "the engine's own list", { reports: [/"\/proc\/sys"/] }),
  set('HostConfig.Runtime', '[engine] runtime where it names one; else the engine’s default', {
    reports: ['runc'],
  }),
  left('HostConfig.Annotations{}', 'none: a runtime may obey them', { since: 43 }),
]

const FILE_FIELDS = [
  left('HostConfig.Binds', 'none: a source could be made, a name be a volume; see Mounts'),
  left('HostConfig.Tmpfs{}', 'none; see Mounts'),
  left('HostConfig.VolumesFrom', 'no other container is named'),
  left('HostConfig.VolumeDriver', 'the local driver, for what the image calls a volume'),
  left('HostConfig.StorageOpt{}', "the engine's own --storage-opt"),
  set('HostConfig.ReadonlyRootfs', '--read-only'),
  set('HostConfig.ShmSize', '--shm-size, below the site’s ceiling; else 64 MiB', {
    reports: [64 * 1024 * 1024],
  }),
  left('HostConfig.ContainerIDFile', 'a note of docker’s own client; the engine writes no file'),
]

const NETWORK_FIELDS = [
  left('HostConfig.PortBindings{}', 'none'),
  set('HostConfig.PublishAllPorts', 'always false'),
  left('HostConfig.Links', 'no other container is named'),
  ...leftAll('HostConfig.', ['Dns', 'DnsOptions', 'DnsSearch'], DNS),
  left('HostConfig.ExtraHosts', `${DNS}; or ${NO_NETWORK}`),
]

const LIFE_FIELDS = [
  set('HostConfig.AutoRemove', 'always false: removed by us, after the counters are read'),
  left('HostConfig.ConsoleSize', 'told once it runs', { reports: [[0, 0]] }),
]

export const HOST_FIELDS = [
  ...POWER_FIELDS,
  ...NAMESPACE_FIELDS,
  ...FILE_FIELDS,
  ...NETWORK_FIELDS,
  ...LIFE_FIELDS,
  ...RESOURCE_FIELDS,
]
