// Podman's seccomp profile is for containers that make containers: any process may unshare(2), mount(2) and keep keys. Ours has no
// use for it, and whoever makes a user namespace has every capability in it. So the site's own profile is taken, less what
// Docker's default denies to a container without capabilities (moby, profiles/seccomp/default.json, which is the source of all lists here).
import { HepwrapError } from '../base/errors.js'

interface Rule {
  readonly names: readonly string[]
  readonly action: string
  readonly errnoRet?: number
  readonly args?: readonly object[] | null
  readonly includes?: { readonly caps?: readonly string[] | null } | null
}
export interface SeccompProfile {
  readonly defaultAction: string
  readonly syscalls: readonly Rule[]
}

const ALLOW = 'SCMP_ACT_ALLOW'

/** Allowed by Docker with CAP_SYS_ADMIN, CAP_SYSLOG or CAP_SYS_CHROOT only, or never. */
const DENIED = new Set([
  ...['bpf', 'fanotify_init', 'lookup_dcookie', 'perf_event_open', 'quotactl', 'quotactl_fd'],
  ...['mount', 'mount_setattr', 'move_mount', 'open_tree', 'pivot_root', 'umount', 'umount2'],
  ...['fsconfig', 'fsmount', 'fsopen', 'fspick', 'setns', 'unshare', 'clone', 'clone3'],
  ...['setdomainname', 'sethostname', 'syslog', 'chroot', 'userfaultfd'],
  ...['add_key', 'keyctl', 'request_key'],
])

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET of clone(2), none of which may be set. */
const NEW_NAMESPACES = 0x7e020000
const ENOSYS = 38

/** EPERM, as Docker has it: Podman's default says ENOSYS. */
const REFUSED = { action: 'SCMP_ACT_ERRNO', errnoRet: 1 }

const OWN_RULES: readonly Rule[] = [
  {
    names: ['clone'],
    action: ALLOW,
    args: [{ index: 0, value: NEW_NAMESPACES, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
  },
  // Its flags lie in memory, where no filter sees them; libc takes clone instead.
  { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
]

const isNamed = ({ syscalls }: SeccompProfile, names: readonly string[]): boolean =>
  syscalls.some((rule) => rule.action === ALLOW && names.every((name) => rule.names.includes(name)))

/** The profile with fewer calls allowed, never more. Throws HW_ENGINE_FAILED for one that allows what it does not name. */
export function tightened(profile: SeccompProfile): SeccompProfile {
  if (profile.defaultAction === ALLOW)
    throw new HepwrapError(
      'HW_ENGINE_FAILED',
      "Podman's seccomp profile allows every call by default",
    )
  const own = OWN_RULES.filter(({ names }) => isNamed(profile, names))
  const isOwn = (name: string) => own.some(({ names }) => names.includes(name))
  const kept = profile.syscalls.map((rule) => {
    const isForAll = rule.action === ALLOW && (rule.includes?.caps ?? []).length === 0
    const isKept = (name: string) => !isOwn(name) && !(isForAll && DENIED.has(name))
    return { ...rule, names: rule.names.filter(isKept) }
  })
  const named = new Set([...kept, ...own].flatMap(({ names }) => names))
  const denied = { names: [...DENIED].filter((name) => !named.has(name)), ...REFUSED }
  const syscalls = [...kept, ...own, denied].filter(({ names }) => names.length > 0)
  return { ...profile, syscalls }
}
