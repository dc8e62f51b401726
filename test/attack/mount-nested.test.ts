// Mounts inside of mounts, and links on the way: what the engine, as root, makes and opens of the host's for her.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { holdRun } from '../slurm/held-run.js'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { leftovers, mounts, nothing } from '../world/traces.js'
import { attack } from './attack.js'
import { type Attempt, attemptMounts, expectQuietLog, type OddMount } from './mount-attempts.js'

let daemon: Daemon
let home = ''
let site = ''

beforeAll(async () => {
  importLinks()
  daemon = await startDaemon({ config: { images: { allow: ['busybox:test', 'links:test'] } } })
  home = mkdtempSync('/home/alice/nested-')
  site = mkdtempSync('/srv/roots-')
  chmodSync(site, 0o755)
  mkdirSync(join(site, 'sub'))
  writeFileSync(join(site, 'secret'), 'of root\n', { mode: 0o600 })
  for (const name of ['links', 'dev', 'dir', 'links/real']) mkdirSync(join(home, name))
  writeFileSync(join(home, 'file'), '')
  symlinkSync('/dev', join(home, 'links/dev'))
  symlinkSync('/sys', join(home, 'links/sys'))
  symlinkSync('/etc/passwd', join(home, 'links/passwd'))
  symlinkSync('/site/secret', join(home, 'dev/null'))
  execFileSync('chown', ['-hR', 'alice:', home])
})
afterAll(async () => {
  rmSync(home, { recursive: true, force: true })
  rmSync(site, { recursive: true, force: true })
  expect(await leftovers()).toEqual(nothing)
  await stopDaemons()
  expectQuietLog(daemon)
  execFileSync('docker', ['rmi', 'links:test'])
})

function importLinks(): void {
  const root = mkdtempSync('/srv/links-')
  const id = execFileSync('docker', ['create', 'busybox:test', 'true'], { encoding: 'utf8' }).trim()
  execFileSync('sh', ['-c', `docker export ${id} | tar -x -C ${root}; docker rm ${id}`])
  for (const name of ['dev', 'sys']) symlinkSync(`/${name}`, join(root, `to-${name}`))
  execFileSync('sh', [
    '-c',
    `tar -c -C ${root} . | docker import - docker.io/library/links:test; rm -rf ${root}`,
  ])
}

const from = (path: string, target: string): OddMount => ({ how: 'path', path, target })
const hers = (name: string, target: string) => from(join(home, name), target)
const takeStdio = ['sh', '-c', 'cat <&0; cat <&2; echo taken >&0; echo taken >&2; :']

/** Neither read nor written, and no device or other file of root's made on the host. */
async function expectNothingTaken(attempt: Attempt): Promise<void> {
  const before = readdirSync(join(home, 'dev'))
  const [outcome] = await attemptMounts('alice', [attempt])
  expect(readFileSync(join(site, 'secret'), 'utf8')).toBe('of root\n')
  expect(`${outcome?.stdout}${outcome?.stderr}`).not.toContain('of root')
  expect(readdirSync(join(home, 'dev'))).toEqual(before)
}

attack(
  'M36',
  'CVE-2025-31133',
  'a link in a mount of hers leads another one over /dev, whose null is a link to a file of root',
  async () => {
    const mounts = [hers('links', '/a'), hers('dev', '/a/dev'), from(site, '/site')]
    await expectNothingTaken({ mounts, request: { command: takeStdio } })
  },
)

attack(
  'M40',
  'CVE-2025-31133',
  'a link in the image leads a mount of hers over /dev, whose null is a link to a file of root',
  async () => {
    const mounts = [hers('dev', '/to-dev'), from(site, '/site')]
    await expectNothingTaken({ mounts, request: { image: 'links:test', command: takeStdio } })
  },
)

attack(
  'M37',
  'own',
  'targets below a directory of the host where she may not write: the engine makes them there, as root',
  async () => {
    const attempts: Attempt[] = [
      { mounts: [from(site, '/site'), hers('dir', '/site/made')] },
      { mounts: [from(site, '/site'), hers('file', '/site/nologin')] },
      { mounts: [from(site, '/site'), hers('dir', '/site/sub/deep/er')] },
      { mounts: [from(site, '/site')], request: { tmpfs: [{ target: '/site/tmpfs' }] } },
      { mounts: [from(site, '/site'), { ...hers('dir', '/site/home'), origin: 'home' }] },
    ]
    await attemptMounts('alice', attempts)
    expect(readdirSync(site).sort()).toEqual(['secret', 'sub'])
    expect(readdirSync(join(site, 'sub'))).toEqual([])
  },
)

attack(
  'M38',
  'CVE-2021-30465, CVE-2024-45310',
  'targets through links of a mount of hers, to reserved places and out of the container',
  async () => {
    symlinkSync('../../../../..', join(home, 'links/out'))
    const before = readFileSync('/etc/passwd', 'utf8')
    const command = ['cat', '/proc/self/mountinfo', '/etc/passwd']
    const outcomes = await attemptMounts('alice', [
      { mounts: [hers('links', '/a'), hers('dir', '/a/sys')], request: { command } },
      { mounts: [hers('links', '/a'), hers('file', '/a/passwd')], request: { command } },
      { mounts: [hers('links', '/a'), hers('dir', '/a/out/srv/made')], request: { command } },
    ])
    for (const { exit, stdout } of outcomes) {
      if (exit === 125) continue
      expect(stdout).toContain('alice:x:2001')
      expect(
        stdout
          .split('\n')
          .filter((line) => line.includes(' /home/alice') && / \/(sys|etc|proc|dev)/.test(line)),
      ).toEqual([])
    }
    expect(readFileSync('/etc/passwd', 'utf8')).toBe(before)
    expect(readdirSync('/srv')).not.toContain('made')
  },
)

attack(
  'M39',
  'runc issue 1523',
  'a read-only mount of a file system that is nosuid, nodev and noexec, with another below it',
  async () => {
    const place = join(site, 'sub')
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'nosuid,nodev,noexec,mode=1777', 'flags', place])
    mkdirSync(join(place, 'below'))
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'nosuid,mode=1777', 'below', join(place, 'below')])
    chownSync(place, 2001, 2001)
    const run = await holdRun('alice', ['srun', '-Q', '-p', 'shared'], ['-v', `${place}:/m:ro`])
    const inside = mounts(run.payloadPid).filter(({ mountPoint }) => mountPoint.startsWith('/m'))
    await run.release()
    execFileSync('umount', [join(place, 'below'), place])
    const flags = Object.fromEntries(inside.map(({ mountPoint, options }) => [mountPoint, options]))
    expect(flags['/m']).toEqual(expect.arrayContaining(['ro', 'nosuid', 'nodev', 'noexec']))
    expect(flags['/m/below']).toEqual(expect.arrayContaining(['ro', 'nosuid']))
  },
)

attack('M41', 'CVE-2019-16884', 'a link in the image leads a mount of hers over /sys', async () => {
  const request = { image: 'links:test', command: ['cat', '/proc/self/mountinfo'] }
  const [outcome] = await attemptMounts('alice', [{ mounts: [hers('dir', '/to-sys')], request }])
  const lines = outcome?.stdout.split('\n') ?? []
  expect(lines.filter((line) => line.includes(' /home/alice') && line.includes(' /sys '))).toEqual(
    [],
  )
})
