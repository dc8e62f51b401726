// What a mounted directory lets her do is what the host lets her do: owners, modes, read-only, HOME and the working directory.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { holdRun } from '../slurm/held-run.js'
import { complaint, hepwrapRun, hepwrapRuns } from '../slurm/job-runs.js'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { engine, leftovers, mounts, nothing } from '../world/traces.js'
import { as, expectSuccess } from '../world/world.js'
import { attack } from './attack.js'
import { expectQuietLog, startGiving, stopGiving } from './mount-attempts.js'

const slurm = ['-p', 'shared']
const shared = ['srun', '-Q', ...slurm]
let daemon: Daemon
let home = ''
let site = ''

beforeAll(async () => {
  daemon = await startDaemon()
  home = mkdtempSync('/home/alice/own-')
  chownSync(home, 2001, 2001)
  site = mkdtempSync('/srv/shared-')
  chmodSync(site, 0o755)
})
afterAll(async () => {
  rmSync(home, { recursive: true, force: true })
  rmSync(site, { recursive: true, force: true })
  expect(await leftovers()).toEqual(nothing)
  await stopDaemons()
  expectQuietLog(daemon)
})

/** A directory or file of the site's with an owner and a mode. */
function placed(
  name: string,
  [uid, gid, mode]: readonly [number, number, number],
  content?: string,
): string {
  const path = join(site, name)
  if (content === undefined) mkdirSync(path)
  else writeFileSync(path, content)
  chownSync(path, uid, gid)
  chmodSync(path, mode)
  return path
}

const facts = (path: string) => {
  const { uid, gid, mode, nlink, size } = statSync(path)
  return { uid, gid, mode: (mode & 0o7777).toString(8), nlink, size }
}
const sh = (options: string[], script: string) =>
  hepwrapRun('alice', [...options, 'busybox:test', 'sh', '-c', script], { slurm })

attack('M26', 'Apptainer', "bob's files in a sticky directory that all may write to", async () => {
  const sticky = placed('sticky', [0, 0, 0o1777])
  const bobs = placed('sticky/bobs', [2002, 2002, 0o644], 'of bob\n')
  const before = facts(bobs)
  await sh(
    ['-v', `${sticky}:/s`],
    'cd /s; rm -f bobs; mv bobs x; echo y >bobs; chmod 777 bobs; chown 2001 bobs; ln -f bobs z; >bobs; touch hers; :',
  )
  expect(readdirSync(sticky).sort()).toEqual(['bobs', 'hers'])
  expect(facts(bobs)).toEqual(before)
  expect(readFileSync(bobs, 'utf8')).toBe('of bob\n')
  expect(facts(join(sticky, 'hers'))).toMatchObject({ uid: 2001, gid: 2001 })
})

attack(
  'M27',
  'Charliecloud run_uidgid',
  'files that she makes, gives away, marks set-user-ID or makes devices of',
  async () => {
    const open = placed('open', [0, 3000, 0o2777])
    const script = `cd /o; umask 0; touch plain; mkdir dir; cp /bin/busybox suid; chmod 6777 suid; mknod null c 1 3; mknod disk b 8 0
    mkfifo fifo; chown 0:0 plain; chown 2002 dir; chgrp 3001 plain; chgrp 0 suid; ln -s /etc/shadow link; :`
    await sh(['-v', `${open}:/o`], script)
    expect(readdirSync(open).sort()).toEqual(['dir', 'fifo', 'link', 'plain', 'suid'])
    for (const name of ['dir', 'fifo', 'plain', 'suid'])
      expect(facts(join(open, name)), name).toMatchObject({ uid: 2001, gid: 3000 })
  },
)

attack(
  'M28',
  'CWE-62',
  "hard links to set-user-ID programs and to root's files, beside them",
  async () => {
    expect(readFileSync('/proc/sys/fs/protected_hardlinks', 'utf8')).toBe('1\n') // as every distribution has it
    const open = placed('linked', [0, 0, 0o777])
    copyFileSync('/usr/bin/su', join(open, 'su'))
    chmodSync(join(open, 'su'), 0o4755)
    placed('linked/secret', [0, 0, 0o600], 'secret\n')
    await sh(
      ['-v', `${open}:/o`],
      'cd /o; ln su mine; ln secret mine2; ln /o/su /o/x; /o/su -c id; :',
    )
    expect(readdirSync(open).sort()).toEqual(['secret', 'su'])
    expect([facts(join(open, 'su')), facts(join(open, 'secret'))]).toMatchObject([
      { nlink: 1, mode: '4755' },
      { nlink: 1, mode: '600' },
    ])
  },
)

attack(
  'M29',
  'runc',
  'a read-only mount written through every door: reopened descriptors, modes, times, links, names',
  async () => {
    const hers = join(home, 'kept')
    mkdirSync(hers)
    writeFileSync(join(hers, 'file'), 'kept\n')
    for (const path of [hers, join(hers, 'file')]) chownSync(path, 2001, 2001)
    const before = [facts(hers), facts(join(hers, 'file')), statSync(join(hers, 'file')).mtimeMs]
    const script = `cd /m; exec 3<file; echo x >/proc/self/fd/3; echo x >>file; >file; chmod 777 file .; touch -d 2001-01-01 file
    mv file y; rm -f file; ln file z; mkdir d; mknod p p; chown 2001:3000 file; mount -o remount,rw /m; mount --bind /m /tmp; cp file /m/w
    echo x >/proc/self/root/m/file; echo x >/proc/1/root/m/file; echo x >/proc/self/cwd/file; :`
    for (const option of [
      ['-v', `${hers}:/m:ro`],
      ['--mount', `type=bind,src=${hers},dst=/m,readonly`],
    ]) {
      await sh(['--no-home', '--no-cwd', ...option], script)
      expect([
        facts(hers),
        facts(join(hers, 'file')),
        statSync(join(hers, 'file')).mtimeMs,
      ]).toEqual(before)
      expect(readdirSync(hers)).toEqual(['file'])
    }
    expect(readFileSync(join(hers, 'file'), 'utf8')).toBe('kept\n')
  },
)

attack(
  'M30',
  'Sarus',
  'a file system that the host mounts nosuid, nodev and noexec stays so inside',
  async () => {
    const place = placed('flags', [0, 0, 0o1777])
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'nosuid,nodev,noexec,mode=1777', 'flags', place])
    const run = await holdRun('alice', shared, ['-v', `${place}:/m`, '-v', `${site}:/above`])
    const inside = mounts(run.payloadPid).filter(
      ({ type, source }) => type === 'tmpfs' && source === 'flags',
    )
    await run.release()
    execFileSync('umount', [place])
    expect(inside.map(({ mountPoint }) => mountPoint).sort()).toEqual(['/above/flags', '/m'])
    for (const { options } of inside)
      expect(options).toEqual(expect.arrayContaining(['nosuid', 'nodev', 'noexec']))
  },
)

attack(
  'M31',
  'own',
  'HOME at /root, /etc, /run/hepwrap, /, of another user, relative, by a link, with a line of passwd in it',
  async () => {
    symlinkSync('/run', join(home, 'run'))
    const homes = [
      '/root',
      '/etc',
      '/run/hepwrap',
      '/',
      '/home/bob',
      'relative',
      '/home/alice\nroot2::0:0::/:/bin/sh',
      '/proc/self',
      '/dev/shm',
      `${home}/run`,
      '/home/alice/../bob',
      '',
      '/run/docker.sock',
      '/var/lib/docker',
      'x:0:0',
    ]
    const script =
      'for h; do HOME="$h" hepwrap run busybox:test sh -c "grep -c . /etc/passwd; cat /proc/self/mountinfo; echo /etc/hostname; ls -a /root /home/bob /run/hepwrap 2>/dev/null; :"; echo "next $?"; done'
    const { stdout } = await as('alice').srun(
      ['-Q', ...slurm, 'sh', '-c', script, 'sh', ...homes],
      { timeoutMs: 50_000 },
    )
    const parts = stdout.split(/next \d+\n/).slice(0, -1)
    expect(parts).toHaveLength(homes.length)
    for (const [index, text] of parts.entries()) {
      const label = `HOME=${JSON.stringify(homes[index])}`
      expect(text.split('\n')[0], label).toBe('3')
      expect(text, label).not.toMatch(/hepwrapd\.sock|docker\.sock|root2/)
      const points = text.split('\n').flatMap((line) => line.split(' ').slice(3, 5).join(' '))
      expect(
        points.filter((line) =>
          /^\/(etc|run|proc|dev|var)\S* \/(etc|run|proc|dev|var|root)$/.test(line),
        ),
        label,
      ).toEqual([])
    }
  },
)

attack(
  'M32',
  'CVE-2024-21626',
  'a working directory that is deleted, or inherited from below a closed directory of bob',
  async () => {
    const closed = mkdtempSync('/srv/closed-')
    mkdirSync(join(closed, 'open'))
    writeFileSync(join(closed, 'open/letter'), 'seen\n')
    writeFileSync(join(closed, 'secret'), 'of bob\n')
    for (const name of ['', 'open', 'open/letter', 'secret'])
      chownSync(join(closed, name), 2002, 2002)
    chmodSync(closed, 0o700)
    const meeting = '/tmp/bobs-directory'
    const enter = `import os, socket, sys
m = socket.socket(socket.AF_UNIX); m.connect('${meeting}'); fd = socket.recv_fds(m, 1, 1)[1][0]
try: os.fchdir(fd)
except OSError as error: print(error.strerror, flush=True)
os.execvp(sys.argv[1], sys.argv[1:])`
    const look = 'pwd; cat letter ../secret secret; echo planted >planted; ls .. 2>&1'
    const results = []
    for (const path of [closed, join(closed, 'open')]) {
      const giver = await startGiving('bob', [meeting, path])
      results.push(
        await as('alice').run([
          ...shared,
          'python3',
          '-c',
          enter,
          'hepwrap',
          'run',
          'busybox:test',
          'sh',
          '-c',
          look,
        ]),
      )
      await stopGiving(giver)
    }
    expect(results[0]!.stdout).toContain('Permission denied') // the host does not let her in, and so she asks from elsewhere
    expect(results.map(({ stdout }) => stdout).join('')).not.toContain('of bob')
    expect(existsSync(join(closed, 'planted')) || existsSync(join(closed, 'open/planted'))).toBe(
      false,
    )
    const script = `mkdir ${home}/gone && cd ${home}/gone && rmdir ${home}/gone && exec hepwrap run busybox:test pwd`
    const gone = await as('alice').run([...shared, 'sh', '-c', script])
    expect({ status: gone.status, stdout: gone.stdout }).toEqual({ status: 125, stdout: '' })
    expect(complaint(gone)).toMatch(/\(HW_MOUNT_SOURCE\)/)
    rmSync(closed, { recursive: true })
  },
)

attack(
  'M33',
  'Docker, Podman',
  "docker's other spellings: volumes, propagation, labels, subpaths, pipes, options of tmpfs",
  async () => {
    const volumes = async () =>
      ((await engine('GET', '/volumes')).body as { Volumes: unknown[] | null }).Volumes ?? []
    const before = (await volumes()).length
    const bind = `type=bind,src=${home},dst=/m`
    const wrong = [
      ...[
        ['-v', '/m'],
        ['-v', 'named:/m'],
        ['-v', `${home}:/m:z`],
        ['-v', `${home}:/m:rw,shared`],
        ['-v', `${home}:/m:ro:x`],
        ['-v', ':/m'],
      ],
      ...[
        ['-v', `${home}:`],
        ['-v', `${home}:m`],
        ['-v', 'C:\\x:/m'],
        ['-v', '~/x:/m'],
        ['--volumes-from', 'x'],
        ['--volume-driver', 'local'],
      ],
      ...[
        ['--mount', 'type=volume,dst=/m'],
        ['--mount', 'type=npipe,src=x,dst=/m'],
        ['--mount', 'type=image,src=busybox,dst=/m'],
        ['--mount', 'dst=/m'],
      ],
      ...[
        'bind-propagation=shared',
        'bind-propagation=rshared',
        'bind-nonrecursive',
        'volume-opt=o=bind',
        'consistency=cached',
        'subpath=../x',
        'src=/etc',
        'dst=/etc',
        'type=volume',
        'tmpfs-mode=4777',
        'relabel=shared',
        'idmap',
        'readonly=maybe',
      ].map((more) => ['--mount', `${bind},${more}`]),
      ...[
        'size=1g,exec,suid,dev,uid=0',
        'exec',
        'suid',
        'dev',
        'uid=0',
        'gid=0',
        'mode=17777',
        'mode=-1',
        'mode=9',
        'nr_inodes=0',
        'size=-1',
        'size=1e9',
        'mpol=bind:0',
        'huge=always',
        'context=x',
        'remount',
      ].map((more) => ['--tmpfs', `/t:${more}`]),
      ...[
        'type=tmpfs,dst=/t,src=/etc',
        'type=tmpfs,dst=/t,tmpfs-size=-1',
        'type=tmpfs,dst=/t,tmpfs-options=suid',
        '"type=bind',
        ',,,',
        '',
      ].map((value) => ['--mount', value]),
    ]
    const results = await hepwrapRuns(
      'alice',
      wrong.map((options) => [...options, 'busybox:test', 'true']),
      { slurm },
    )
    for (const [index, result] of results.entries()) {
      const label = `${wrong[index]!.join(' ')}: ${result.stderr}`
      expect({ status: result.status, stdout: result.stdout }, label).toEqual({
        status: 125,
        stdout: '',
      })
      expect(complaint(result), label).toMatch(
        /^hepwrap: .+ \(HW_(OPTION_INVALID|OPTION_FORBIDDEN|OPTION_UNKNOWN|USAGE|MOUNT_SOURCE|MOUNT_TARGET)\)$/,
      )
    }
    expect((await volumes()).length).toBe(before)
    expect(existsSync(join(home, 'named'))).toBe(false)
  },
)

attack(
  'M34',
  'Sarus',
  "bob's home named outright: as a source, a working directory, and through the directory above it",
  async () => {
    const secret = '/home/bob/secret-of-bob'
    writeFileSync(secret, 'of bob\n', { mode: 0o644 })
    chownSync(secret, 2002, 2002)
    const tries = [
      ['-v', '/home/bob:/m'],
      ['-v', '/home:/m'],
      ['-v', `${secret}:/m`],
      ['-v', '/home/bob/../bob:/m'],
      ['-w', '/home/bob'],
      ['--no-home', '-v', '/home/bob:/home/alice'],
    ]
    const look =
      'cat /m/secret* /m/bob/secret* /home/alice/secret* secret* /m; echo x >/m/planted; echo x >/m/bob/planted; echo x >/home/alice/planted-at-bob; ls -R /m; :'
    const results = await hepwrapRuns(
      'alice',
      tries.map((options) => [...options, 'busybox:test', 'sh', '-c', look]),
      { slurm },
    )
    for (const { stdout } of results) expect(stdout).not.toMatch(/of bob|secret-of-bob/)
    expect(readdirSync('/home/bob').filter((name) => name.startsWith('planted'))).toEqual([])
    expect(readFileSync(secret, 'utf8')).toBe('of bob\n')
    rmSync(secret)
    rmSync('/home/alice/planted-at-bob', { force: true })
  },
)

attack(
  'M35',
  'CVE-2024-21626',
  'descriptors and sockets of the host in the processes of her container',
  async () => {
    const run = await holdRun('alice', shared, ['-v', `${home}:/m`])
    const open = [run.initPid, run.payloadPid].flatMap((pid) =>
      readdirSync(`/proc/${pid}/fd`).map((fd) =>
        execFileSync('readlink', [`/proc/${pid}/fd/${fd}`], { encoding: 'utf8' }).trim(),
      ),
    )
    const points = mounts(run.payloadPid).filter(({ root }) =>
      /docker\.sock|hepwrapd\.sock|containerd|\/jobs|ledger/.test(root),
    )
    await run.release()
    // Pipes and sockets without a name, the null device, and init's gate; no directory, no cgroup, no file of the node's.
    expect(
      open.filter(
        (name) => !/^(pipe|socket):|^anon_inode:\[signalfd\]$|^\/dev\/(null|pts)/.test(name),
      ),
    ).toEqual([])
    expect(points).toEqual([])
    expectSuccess(await as('bob').run([...shared, 'hepwrap', 'run', 'busybox:test', 'true']))
  },
)
