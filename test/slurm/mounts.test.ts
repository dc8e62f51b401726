// Mounts as the user: what he can reach on the host, and nothing else, however the path is written or swapped.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { leftovers, mounts, nothing } from '../world/traces.js'
import { as } from '../world/world.js'
import { complaint, hepwrapRun, hepwrapRuns } from './job-runs.js'

const ALICE = 2001
let home = ''
let site = ''

beforeAll(async () => {
  site = mkdtempSync('/srv/site-')
  chmodSync(site, 0o755)
  writeFileSync(join(site, 'release'), 'of the site\n')
  await startDaemon({
    config: { mounts: { always: [`${site}:/site:ro`, '/nowhere:/nowhere:ro?'] } },
  })
})
afterAll(async () => {
  await stopDaemons()
  rmSync(site, { recursive: true, force: true })
})
beforeEach(() => {
  home = mkdtempSync('/home/alice/mounts-')
  chownSync(home, ALICE, ALICE)
})
afterEach(async () => {
  rmSync(home, { recursive: true, force: true })
  expect(await leftovers()).toEqual(nothing)
})

/** A file or directory of alice's. */
function hers(name: string, content?: string): string {
  const path = join(home, name)
  if (content === undefined) mkdirSync(path, { recursive: true })
  else writeFileSync(path, content)
  chownSync(path, ALICE, ALICE)
  return path
}

const sh = (options: string[], script: string) =>
  hepwrapRun('alice', [...options, 'busybox:test', 'sh', '-c', script], { cwd: home })

describe('ACCEPTANCE 14: what is mounted', () => {
  it('a directory is there, both ways', async () => {
    const path = hers('data')
    hers('data/in', 'from the host\n')
    const result = await sh(['-v', `${path}:/data`], 'cat /data/in; echo back > /data/out')
    expect(result).toMatchObject({ status: 0, stdout: 'from the host\n' })
    expect(readFileSync(join(path, 'out'), 'utf8')).toBe('back\n')
    expect(statSync(join(path, 'out')).uid).toBe(ALICE)
  })

  it('a single file, also beside others that are not', async () => {
    const path = hers('one', 'only me\n')
    hers('two', 'not me\n')
    const result = await sh(
      ['--no-home', '--no-cwd', '-v', `${path}:/etc/one`],
      'cat /etc/one; ls /home',
    )
    expect(result).toMatchObject({ stdout: 'only me\n' })
  })

  it('read-only, by -v and by --mount, binds', async () => {
    const path = hers('data')
    for (const option of [
      ['-v', `${path}:/data:ro`],
      ['--mount', `type=bind,src=${path},dst=/data,readonly`],
    ]) {
      const result = await sh(option, 'touch /data/x; echo $?')
      expect(result.stdout).toBe('1\n')
      expect(result.stderr).toMatch(/Read-only file system/)
    }
    expect(existsSync(join(path, 'x'))).toBe(false)
  })

  it('names with spaces, colons and newlines', async () => {
    const names = ['with space', 'with:colon', 'with,comma', 'ünïcödé', 'a\nb']
    names.forEach((name) => hers(name))
    const options = names.map((name, index) => [
      '--mount',
      `type=bind,"src=${join(home, name)}",dst=/m${index}/d d`,
    ])
    const result = await sh(
      options.flat(),
      'for i in 0 1 2 3 4; do touch "/m$i/d d/x" && echo $i; done',
    )
    expect(result.stdout).toBe('0\n1\n2\n3\n4\n')
    for (const name of names) expect(existsSync(join(home, name, 'x')), name).toBe(true)
  })

  it('a relative source is taken from the working directory', async () => {
    hers('sub', undefined)
    hers('sub/x', 'here\n')
    expect(await sh(['-v', './sub:/m'], 'cat /m/x')).toMatchObject({ stdout: 'here\n' })
  })

  it('a source that does not exist is refused, and nothing is made', async () => {
    const result = await sh(['-v', `${home}/missing:/m`], 'true')
    expect(result.status).toBe(125)
    expect(complaint(result)).toMatch(/missing.*no such file or directory.*\(HW_MOUNT_SOURCE\)/)
    expect(existsSync(join(home, 'missing'))).toBe(false)
  })

  it('tmpfs with its size and mode', async () => {
    const result = await sh(
      ['--tmpfs', '/scratch:size=1m,mode=700', '--mount', 'type=tmpfs,dst=/t2,tmpfs-size=65536'],
      'df -k /scratch | tail -1 | awk "{print \\$2}"; dd if=/dev/zero of=/t2/x bs=1k count=100 2>&1 | tail -1; stat -c %a /scratch',
    )
    expect(result.stdout).toMatch(/^1024\n/)
    expect(result.stdout).toMatch(/No space left|65536|64\+0|64\.0KB/)
  })

  it('what the site always mounts is there and cannot be replaced, hidden or written', async () => {
    const data = hers('data')
    expect(await sh([], 'cat /site/release; touch /site/x')).toMatchObject({
      stdout: 'of the site\n',
    })
    for (const target of ['/site', '/site/release', '/site/sub'])
      expect(complaint(await sh(['-v', `${data}:${target}`], 'true')), target).toMatch(
        /\(HW_MOUNT_(TARGET|REFUSED)\)/,
      )
  })

  it('HOME and cwd are there read-write at their own paths, or not at all', async () => {
    const result = await sh([], 'pwd; echo $HOME; touch ./made; ls -d /home/alice')
    expect(result.stdout).toBe(`${home}\n/home/alice\n/home/alice\n`)
    expect(existsSync(join(home, 'made'))).toBe(true)
    expect((await sh(['--no-home', '--no-cwd'], 'pwd; ls /home')).stdout).toBe('/\n')
  })
})

describe('ACCEPTANCE 15: .. and symlinks reach nothing more', () => {
  it('in a source they are resolved as the user', async () => {
    mkdirSync('/srv/secret', { mode: 0o700 })
    writeFileSync('/srv/secret/key', 'secret\n')
    try {
      symlinkSync('/srv/secret/key', join(home, 'link'))
      symlinkSync('/srv/secret', join(home, 'dir'))
      const sources = [
        `${home}/link`,
        `${home}/dir/key`,
        `${home}/../../../srv/secret/key`,
        '/proc/1/root/srv/secret/key',
        '/proc/1/cwd',
      ]
      const results = await hepwrapRuns(
        'alice',
        sources.map((source) => ['-v', `${source}:/m`, 'busybox:test', 'cat', '/m']),
      )
      for (const [index, result] of results.entries()) {
        expect(result, sources[index]).toMatchObject({ status: 125, stdout: '' })
        expect(complaint(result), sources[index]).toMatch(/permission denied.*\(HW_MOUNT_SOURCE\)/)
      }
    } finally {
      rmSync('/srv/secret', { recursive: true })
    }
  })

  it('a link to what the user may reach works as he expects', async () => {
    hers('real')
    hers('real/x', 'through a link\n')
    symlinkSync(join(home, 'real'), join(home, 'alias'))
    expect(await sh(['-v', `${home}/alias:/m`], 'cat /m/x')).toMatchObject({
      stdout: 'through a link\n',
    })
  })

  it('.. in a target stays inside the container', async () => {
    const path = hers('data')
    const result = await sh(['-v', `${path}:/a/../../../../b`], 'ls -d /b')
    expect(result.stdout).toBe('/b\n')
    expect(existsSync('/b')).toBe(false)
  })

  it('reserved targets are refused by name', async () => {
    const path = hers('data')
    const targets = [
      '/',
      '/proc',
      '/proc/sys',
      '/sys/fs/cgroup',
      '/dev',
      '/dev/shm',
      '/etc/passwd',
      '/etc/group',
      '/etc',
      '/.hepwrap',
      '/.hepwrap-x/init',
      'relative',
      '/a/../proc',
    ]
    const results = await hepwrapRuns(
      'alice',
      targets.map((target) => ['-v', `${path}:${target}`, 'busybox:test', 'true']),
    )
    for (const [index, result] of results.entries()) {
      expect(result.status, targets[index]).toBe(125)
      expect(complaint(result), targets[index]).toMatch(/\((HW_MOUNT_TARGET|HW_OPTION_INVALID)\)$/)
    }
  })

  it('the engine, the daemon and the kernel’s trees cannot be mounted by any path', async () => {
    symlinkSync('/run/docker.sock', join(home, 'innocent'))
    symlinkSync('/run', join(home, 'run'))
    const sources = [
      '/run/docker.sock',
      '/var/run/docker.sock',
      '/run',
      '/',
      '/var/lib/docker',
      '/run/hepwrap',
      '/run/hepwrap/hepwrapd.sock',
      '/proc',
      '/proc/self',
      '/sys',
      '/sys/fs/cgroup',
      '/dev',
      '/dev/null',
      `${home}/innocent`,
      `${home}/run`,
      '/proc/self/root',
      '/proc/self/cwd/../../../run/docker.sock',
    ]
    const results = await hepwrapRuns(
      'alice',
      sources.map((source) => ['-v', `${source}:/m`, 'busybox:test', 'ls', '-laR', '/m']),
    )
    for (const [index, result] of results.entries()) {
      expect(result, sources[index]).toMatchObject({ status: 125, stdout: '' })
      expect(complaint(result), sources[index]).toMatch(/\(HW_MOUNT_(REFUSED|SOURCE)\)$/)
    }
  })

  it('a source that is swapped while runs go on never shows what the user cannot read', async () => {
    mkdirSync('/srv/secret', { mode: 0o700 })
    writeFileSync('/srv/secret/x', 'secret\n')
    hers('open')
    hers('open/x', 'open\n')
    const spot = join(home, 'spot')
    const swap = `while :; do ln -sfn ${home}/open ${spot}.n; mv -T ${spot}.n ${spot}; ln -sfn /srv/secret ${spot}.n; mv -T ${spot}.n ${spot}; done`
    const swapper = spawn('setpriv', [
      '--reuid=2001',
      '--regid=2001',
      '--clear-groups',
      'sh',
      '-c',
      swap,
    ])
    try {
      const many = Array.from({ length: 25 }, () => [
        '-v',
        `${spot}:/m`,
        'busybox:test',
        'cat',
        '/m/x',
      ])
      const results = await hepwrapRuns('alice', many)
      for (const { stdout } of results) expect(['open\n', '']).toContain(stdout)
    } finally {
      await ended(swapper)
      rmSync('/srv/secret', { recursive: true })
    }
  })
})

describe('ACCEPTANCE 16: below a directory that the user cannot enter', () => {
  it('a directory that is itself readable stays out of reach', async () => {
    mkdirSync('/srv/closed', { mode: 0o700 })
    mkdirSync('/srv/closed/open', { mode: 0o755 })
    writeFileSync('/srv/closed/open/x', 'out of reach\n', { mode: 0o644 })
    try {
      // What raw docker does with it: the case can fail.
      const raw = execFileSync(
        'docker',
        [
          'run',
          '--rm',
          '-u',
          '2001:2001',
          '--network=none',
          '-v',
          '/srv/closed/open:/m',
          'busybox:test',
          'cat',
          '/m/x',
        ],
        { encoding: 'utf8' },
      )
      expect(raw).toBe('out of reach\n')
      const result = await sh(['-v', '/srv/closed/open:/m'], 'cat /m/x')
      expect(result).toMatchObject({ status: 125, stdout: '' })
      expect(complaint(result)).toMatch(/permission denied.*\(HW_MOUNT_SOURCE\)/)
    } finally {
      rmSync('/srv/closed', { recursive: true })
    }
  })
})

describe('ACCEPTANCE 17: a file system on which root is nobody', () => {
  it('a home of mode 0700 works, and so does a working directory deep in it', async () => {
    const exported = mkdtempSync('/srv/export-')
    const mountPoint = '/home/squash'
    mkdirSync(join(exported, 'deep/er'), { recursive: true })
    for (const path of ['', 'deep', 'deep/er']) {
      chownSync(join(exported, path), ALICE, ALICE)
      chmodSync(join(exported, path), 0o700)
    }
    mkdirSync(mountPoint, { recursive: true })
    const server = spawn('root-squash', [exported, mountPoint], { stdio: 'ignore' })
    try {
      await eventually(() => mounts().some((mount) => mount.mountPoint === mountPoint), {
        what: 'root-squash',
      })
      expect(() => execFileSync('ls', [join(mountPoint, 'deep')], { stdio: 'pipe' })).toThrow(
        /Permission denied/,
      )
      // Root may not even start a program there: alice goes there herself.
      const script = 'pwd; echo $HOME; umask; echo mine > file; ls -ld . | cut -c1-10'
      const run = `cd ${mountPoint}/deep/er && exec hepwrap run busybox:test sh -c '${script}'`
      const result = await as('alice').srun(['-Q', 'sh', '-c', run], { env: { HOME: mountPoint } })
      expect(result).toMatchObject({
        status: 0,
        stdout: `${mountPoint}/deep/er\n${mountPoint}\n0022\ndrwx------\n`,
      })
      expect(readFileSync(join(exported, 'deep/er/file'), 'utf8')).toBe('mine\n')
      expect(statSync(join(exported, 'deep/er/file')).uid).toBe(ALICE)
    } finally {
      execFileSync('umount', ['-l', mountPoint])
      await ended(server)
      rmSync(exported, { recursive: true })
    }
  })
})

describe('ACCEPTANCE 18: the host’s permissions hold', () => {
  it('/etc/shadow may be named and is as unreadable as on the host', async () => {
    const result = await sh(
      ['-v', '/etc/shadow:/m/shadow', '-v', '/etc:/m/etc:ro'],
      'cat /m/shadow; cat /m/etc/shadow; head -1 /m/etc/passwd',
    )
    expect(result.stdout).toMatch(/^root:x:0:0:/)
    expect(result.stderr.match(/Permission denied/g)).toHaveLength(2)
  })

  it('writes obey them, by owner, by group and for others', async () => {
    mkdirSync('/srv/shared', { mode: 0o755 })
    for (const [name, uid, gid, mode] of [
      ['atlas', 0, 3000, 0o770],
      ['cms', 0, 3001, 0o770],
      ['bob', 2002, 2002, 0o755],
      ['free', 0, 0, 0o1777],
    ] as const) {
      mkdirSync(`/srv/shared/${name}`)
      chownSync(`/srv/shared/${name}`, uid, gid)
      chmodSync(`/srv/shared/${name}`, mode)
    }
    try {
      const result = await sh(
        ['-v', '/srv/shared:/s'],
        'for d in atlas cms bob free; do touch /s/$d/x 2>/dev/null && echo $d; done; true',
      )
      expect(result.stdout).toBe('atlas\nfree\n')
      expect(statSync('/srv/shared/atlas/x').uid).toBe(ALICE)
    } finally {
      rmSync('/srv/shared', { recursive: true })
    }
  })

  it('a staged mount is gone from the node once the container runs', async () => {
    const path = hers('data')
    const wait = 'touch /data/up; while [ ! -e /data/go ]; do sleep 0.05; done'
    const run = sh(['-v', `${path}:/data`], wait)
    const staged = () =>
      mounts().filter(({ mountPoint }) => mountPoint.startsWith('/run/hepwrap/runs'))
    await eventually(() => existsSync(join(path, 'up')), { what: 'the command' })
    await eventually(() => staged().length === 0, { what: 'no staged mount' })
    hers('data/go', '')
    expect(await run).toMatchObject({ status: 0 })
  })
})

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await gone
}
