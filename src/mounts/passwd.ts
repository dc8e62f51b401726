// passwd and group for the container: enough that `whoami`, `id` and `getent` know the caller. Pure.

export interface AccountNames {
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
  /** Undefined where the node knows no name. */
  readonly userName: string | undefined
  readonly groupNames: ReadonlyMap<number, string>
  readonly home: string | undefined
  readonly shell: string | undefined
}

const NOBODY = 65534

/** Lines of passwd(5): root, nobody, the caller. */
export function passwdText(names: AccountNames): string {
  const { uid, gid } = names
  const caller = [
    userNameOf(names),
    'x',
    uid,
    gid,
    '',
    field(names.home) ?? '/',
    field(names.shell) ?? '/bin/sh',
  ]
  return lines([
    ['root', 'x', 0, 0, 'root', '/root', '/bin/sh'],
    ...(uid === NOBODY ? [] : [['nobody', 'x', NOBODY, NOBODY, '', '/', '/sbin/nologin']]),
    ...(uid === 0 ? [] : [caller]),
  ])
}

/** Lines of group(5): root, nogroup, and the caller's groups with him as member. */
export function groupText(names: AccountNames): string {
  const own = new Set([names.gid, ...names.groups])
  const member = names.uid === 0 ? '' : userNameOf(names)
  const rows = [...own]
    .filter((gid) => gid !== 0 && gid !== NOBODY)
    .sort((a, b) => a - b)
    .map((gid) => [field(names.groupNames.get(gid)) ?? `group${gid}`, 'x', gid, member])
  const memberOf = (gid: number) => (own.has(gid) ? member : '')
  return lines([['root', 'x', 0, memberOf(0)], ['nogroup', 'x', NOBODY, memberOf(NOBODY)], ...rows])
}

const userNameOf = ({ uid, userName }: AccountNames): string => field(userName) ?? `user${uid}`

/** A text as it may stand in a field; undefined for an empty one and for what would begin another field or line. */
const field = (text: string | undefined): string | undefined =>
  text === undefined || text === '' || /[:,\u0000-\u001f\u007f]/.test(text) ? undefined : text

const lines = (rows: readonly (readonly (string | number)[])[]): string =>
  rows.map((row) => `${row.join(':')}\n`).join('')
