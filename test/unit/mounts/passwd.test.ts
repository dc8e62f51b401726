import { describe, expect, it } from 'vitest'
import { groupText, passwdText, type AccountNames } from '../../../src/mounts/passwd.js'

const ALICE: AccountNames = {
  uid: 2001,
  gid: 2001,
  groups: [3000, 2001, 100],
  userName: 'alice',
  groupNames: new Map([
    [2001, 'alice'],
    [3000, 'atlas'],
  ]),
  home: '/home/alice',
  shell: '/bin/bash',
}

describe('passwd and group', () => {
  it('know the caller', () => {
    expect(passwdText(ALICE)).toBe(
      'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/sbin/nologin\nalice:x:2001:2001::/home/alice:/bin/bash\n',
    )
    expect(groupText(ALICE)).toBe(
      'root:x:0:\nnogroup:x:65534:\ngroup100:x:100:alice\nalice:x:2001:alice\natlas:x:3000:alice\n',
    )
  })

  it('give a caller without an account a name', () => {
    const stranger = {
      ...ALICE,
      userName: undefined,
      groupNames: new Map(),
      home: undefined,
      shell: undefined,
    }
    expect(passwdText(stranger)).toContain('user2001:x:2001:2001::/:/bin/sh\n')
    expect(groupText(stranger)).toContain('group3000:x:3000:user2001\n')
  })

  it('name each id once', () => {
    expect(passwdText({ ...ALICE, uid: 0, gid: 0, userName: 'root' }).match(/:x:0:/g)).toHaveLength(
      1,
    )
    expect(passwdText({ ...ALICE, uid: 65534 })).not.toContain('nobody')
    expect(groupText({ ...ALICE, groups: [0, 65534] })).toContain(
      'root:x:0:alice\nnogroup:x:65534:alice\n',
    )
  })

  it.each(['a:b', 'a\nroot2:x:0:0::/:/bin/sh', '', 'x\u0000'])(
    'take no line or field from %j',
    (odd) => {
      const text = passwdText({ ...ALICE, userName: odd, home: odd, shell: odd })
      expect(text.split('\n')).toHaveLength(4)
      expect(text).toContain('user2001:x:2001:2001::/:/bin/sh\n')
      expect(groupText({ ...ALICE, groupNames: new Map([[3000, odd]]) })).toContain(
        'group3000:x:3000:alice\n',
      )
    },
  )
})
