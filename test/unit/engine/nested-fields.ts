// The objects inside of HostConfig: mounts, devices, limits, log, restarts.
import { left, leftAll, set } from './request-field.js'

const MOUNT = 'HostConfig.Mounts[].'
const BIND = `${MOUNT}BindOptions.`
const VOLUME = `${MOUNT}VolumeOptions.`
const NO_VOLUME = 'no mount of ours is a volume'
const CGROUP = "the run's own cgroup holds it, below the job's"
const THROTTLES = ['ReadBps', 'WriteBps', 'ReadIOps', 'WriteIOps']

export const MOUNT_FIELDS = [
  set(`${MOUNT}Type`, 'one of "bind" and "tmpfs"'),
  set(
    `${MOUNT}Source`,
    'a bind: a file of ours, or an empty place of ours for a mount that we put there',
  ),
  set(`${MOUNT}Target`, 'the plan: -v, --tmpfs, mounts.always, HOME and cwd; our own files'),
  set(`${MOUNT}ReadOnly`, 'a bind: true; what is put there later is what ":ro" and the site say'),
  set(`${BIND}Propagation`, 'rprivate for a file of ours; rslave where a mount is put later'),
  left(`${BIND}NonRecursive`, 'false: the tree with the mounts below it, as it was judged'),
  left(`${BIND}CreateMountpoint`, 'false: no source is made', { since: 42 }),
  left(
    `${BIND}ReadOnlyNonRecursive`,
    'false: from here on what is read-only is so at every depth',
    {
      since: 44,
    },
  ),
  left(`${BIND}ReadOnlyForceRecursive`, 'false: where the kernel can', { since: 44 }),
  set(`${MOUNT}TmpfsOptions.SizeBytes`, '--tmpfs size=, below the site’s ceiling'),
  set(`${MOUNT}TmpfsOptions.Mode`, '--tmpfs mode=, else 1777'),
  left(`${MOUNT}TmpfsOptions.Options`, 'none: nosuid, nodev and noexec stay', { since: 46 }),
  left(`${MOUNT}Consistency`, 'for other systems than Linux'),
  left(`${VOLUME}NoCopy`, NO_VOLUME),
  left(`${VOLUME}Labels{}`, NO_VOLUME),
  left(`${VOLUME}DriverConfig.Name`, NO_VOLUME),
  left(`${VOLUME}DriverConfig.Options{}`, NO_VOLUME),
  left(`${VOLUME}Subpath`, NO_VOLUME, { since: 45 }),
  left(`${MOUNT}ClusterOptions`, NO_VOLUME, { since: 42 }),
  left(`${MOUNT}ImageOptions.Subpath`, 'no mount of ours is an image', { since: 48 }),
]

export const OTHER_NESTED_FIELDS = [
  set('HostConfig.Devices[].PathOnHost', '--device, where the site and the job have it'),
  set('HostConfig.Devices[].PathInContainer', 'the same path'),
  set('HostConfig.Devices[].CgroupPermissions', 'always "rw"'),
  ...leftAll(
    'HostConfig.DeviceRequests[].',
    ['Driver', 'Count', 'DeviceIDs', 'Capabilities', 'Options{}'],
    'none: no hook of a vendor’s is asked for',
  ),
  set('HostConfig.Ulimits[].Name', "the caller's own limits, and --ulimit"),
  set('HostConfig.Ulimits[].Soft', 'the same, below the site’s ceilings'),
  set('HostConfig.Ulimits[].Hard', 'the same, below the site’s ceilings'),
  set('HostConfig.LogConfig.Type', 'always "none": what is written goes to the client alone'),
  set('HostConfig.LogConfig.Config{}', 'always empty'),
  set('HostConfig.RestartPolicy.Name', 'always "no"'),
  left('HostConfig.RestartPolicy.MaximumRetryCount', 'zero'),
  ...leftAll('HostConfig.BlkioWeightDevice[].', ['Path', 'Weight'], CGROUP),
  ...THROTTLES.flatMap((what) =>
    leftAll(`HostConfig.BlkioDevice${what}[].`, ['Path', 'Rate'], CGROUP),
  ),
  left('HostConfig.PortBindings{}[].HostIp', 'none'),
  left('HostConfig.PortBindings{}[].HostPort', 'none'),
]
