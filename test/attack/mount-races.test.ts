// Sources that change while they are looked at, a thousand times each: what is mounted is what was judged.
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import type { RunRequest } from '../../src/wire/run-api.js'
import { hepwrapRuns } from '../slurm/job-runs.js'
import { attacker, bareRequest } from '../slurm/raw-request.js'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { leftovers, mounts, nothing } from '../world/traces.js'
import { as, expectSuccess } from '../world/world.js'
import { attack } from './attack.js'
import { attemptEach, attemptMounts, expectQuietLog, expectRefused } from './mount-attempts.js'

const BATCH = 250
let daemon: Daemon
let home = ''
let secret = ''

beforeAll(async () => {
  daemon = await startDaemon()
  home = mkdtempSync('/home/alice/race-')
  for (const name of ['', 'open', 'spot']) {
    mkdirSync(join(home, name), { recursive: true })
    chownSync(join(home, name), 2001, 2001)
  }
  writeFileSync(join(home, 'open/x'), 'open\n')
  writeFileSync(join(home, 'spot/x'), 'open\n')
  secret = mkdtempSync('/srv/bobs-')
  writeFileSync(join(secret, 'x'), 'of bob\n')
  for (const name of ['', 'x']) chownSync(join(secret, name), 2002, 2002)
  chmodSync(secret, 0o700)
})
afterAll(async () => {
  rmSync(home, { recursive: true, force: true })
  rmSync(secret, { recursive: true, force: true })
  expect(await leftovers()).toEqual(nothing)
  await stopDaemons()
  expectQuietLog(daemon)
})

/** As HOME or cwd a mount that is refused is only left out: so one request tries as often as it has mounts. */
function racingRequest(): Partial<RunRequest> {
  const mounts = Array.from({ length: BATCH }, (_, index) => ({
    source: join(home, 'open'),
    fd: '@' as unknown as number,
    target: `/race/${index}`,
    read_only: false,
    origin: 'cwd' as const,
  }))
  const look =
    'cat /race/*/x 2>/dev/null; echo x >>/race/0/planted; ls -d /race/*/*.sock /race/*/jobs 2>/dev/null; grep -o " /race/[0-9]* " /proc/self/mountinfo | sort -u | wc -l'
  return { mounts, command: ['sh', '-c', look] }
}

/** Four requests, a thousand mounts; the output of each run, and how often its meaning changed meanwhile. */
async function race(kind: string, trap: string): Promise<{ text: string; turns: number }[]> {
  const file = join(home, `request-${kind}`)
  writeFileSync(file, JSON.stringify(bareRequest(racingRequest())))
  const words = [kind, join(home, 'open'), trap, join(home, 'spot'), String(BATCH), file]
  const script = 'for i in 1 2 3 4; do python3 "$@"; echo next; done'
  const argv = ['-Q', '-p', 'shared', 'sh', '-c', script, 'sh', attacker('race'), ...words]
  const { stdout } = expectSuccess(await as('alice').srun(argv, { timeoutMs: 55_000 }))
  const parts = stdout.split('next\n').slice(0, 4)
  return parts.map((text) => ({ text, turns: Number(/turns (\d+)/.exec(text)?.[1]) }))
}

attack(
  'M20',
  'own',
  'a descriptor number that is now her directory, now the one of hepwrapd (1,000 mounts)',
  async () => {
    const results = await race('descriptor', daemon.runDirectory)
    for (const { text, turns } of results) {
      expect(turns).toBeGreaterThan(10)
      expect(text).toContain('"exit":0')
      expect(text).not.toMatch(/hepwrapd\.sock|\/jobs/)
    }
    expect(results.map(({ text }) => text).join('')).toContain('open\n')
    expect(
      daemon.log().filter(({ msg }) => String(msg).startsWith('mount left out')).length,
    ).toBeGreaterThan(0)
    expect(readFileSync(daemon.configPath, 'utf8')).toContain('hepwrapd.sock')
  },
  60_000,
)

attack(
  'M21',
  'CVE-2021-30465',
  'the name of an open source moved away, deleted, made anew and linked to a trap (1,000 mounts)',
  async () => {
    const results = await race('name', daemon.runDirectory)
    for (const { text, turns } of results) {
      expect(turns).toBeGreaterThan(10)
      expect(text).toContain('"exit":0')
      expect(text).not.toMatch(/hepwrapd\.sock|\/jobs/)
      expect(text.match(/open\n/g)?.length).toBe(BATCH)
    }
    expect(mounts().filter(({ mountPoint }) => mountPoint.startsWith('/run/hepwrap/'))).toEqual([])
  },
  60_000,
)

attack(
  'M22',
  'Shifter realpath, CVE-2018-15664',
  "a link that is now to her directory, now to bob's closed one, while sources are opened (1,000 mounts)",
  async () => {
    rmSync(join(home, 'spot'), { recursive: true, force: true })
    const results = await race('link', secret)
    for (const { text, turns } of results) {
      expect(turns).toBeGreaterThan(10)
      expect(text).toContain('"exit":0')
      expect(text).not.toContain('of bob')
    }
    expect(readFileSync(join(secret, 'x'), 'utf8')).toBe('of bob\n')
    rmSync(join(home, 'spot'), { recursive: true, force: true })
  },
  60_000,
)

attack(
  'M23',
  'CVE-2018-15664',
  'the same with the client itself, a thousand sources that are now hers, now of bob',
  async () => {
    const spot = join(home, 'flip')
    const swap =
      'while (1) { for (@ARGV[1, 2]) { symlink $_, "$ARGV[0].n"; rename "$ARGV[0].n", $ARGV[0] } }'
    const swapper = as('alice').start(['perl', '-e', swap, spot, join(home, 'open'), secret])
    await eventually(() => mayRead(join(spot, 'x')))
    const many = Array.from({ length: 200 }, (_, index) => ['-v', `${spot}:/race/${index}`]).flat()
    const look =
      'cat /race/*/x 2>/dev/null; for d in /race/*; do echo planted >$d/planted-by-alice; done 2>/dev/null; grep -o " /race/[0-9]* " /proc/self/mountinfo | sort -u | wc -l'
    const runs = Array.from({ length: 5 }, () => [...many, 'busybox:test', 'sh', '-c', look])
    const results = await hepwrapRuns('alice', runs, { slurm: ['-p', 'shared'] })
    swapper.kill('SIGKILL')
    const seen = results.map(({ stdout }) => stdout.trim().split('\n'))
    expect(seen.map((lines) => lines.at(-1))).toEqual(Array(5).fill('200'))
    const shown = seen.flatMap((lines) => lines.slice(0, -1))
    expect(new Set(shown)).toEqual(new Set(['open']))
    expect(shown.length).toBeLessThan(1000) // the others were bob's, and closed
    expect(readFileSync(join(secret, 'x'), 'utf8')).toBe('of bob\n')
    expect(mayRead(join(secret, 'planted-by-alice'))).toBe(false)
  },
  60_000,
)

function mayRead(path: string): boolean {
  try {
    readFileSync(path)
    return true
  } catch {
    return false
  }
}

attack(
  'M24',
  'own',
  'a file system of her own that never answers: as the source, and below her home',
  async () => {
    const mine = join(home, 'fuse')
    mkdirSync(mine)
    chownSync(mine, 2001, 2001)
    const server = as('alice').start(['python3', attacker('fuse'), mine])
    await eventually(() => server.stdoutSoFar().includes('mounted'), {
      what: `fuse: ${server.stderrSoFar()}`,
    })
    try {
      const source = [{ how: 'path', path: mine }]
      expectRefused(daemon, source, await attemptEach('alice', source), ['HW_MOUNT_REFUSED'])
      const above = {
        mounts: [{ how: 'path', path: home, target: '/above' }],
        request: { command: ['cat', '/above/open/x'] },
      }
      expect(await attemptMounts('alice', [above])).toMatchObject([{ exit: 0, stdout: 'open\n' }])
      const { stdout } = expectSuccess(
        await as('bob').srun([
          '-Q',
          '-p',
          'shared',
          'hepwrap',
          'run',
          'busybox:test',
          'echo',
          'served',
        ]),
      )
      expect(stdout).toBe('served\n')
    } finally {
      server.kill('SIGKILL')
      await server.result
      expectSuccess(await as('root').run(['umount', '-l', mine]))
    }
  },
)

attack(
  'M25',
  'Apptainer',
  'sources replaced between two runs of one step are judged anew each time',
  async () => {
    const spot = join(home, 'changing')
    const outcomes = []
    for (const target of [
      join(home, 'open'),
      '/run',
      secret,
      daemon.socketPath,
      join(home, 'open'),
    ]) {
      rmSync(spot, { force: true })
      symlinkSync(target, spot)
      outcomes.push(
        ...(await attemptMounts('alice', [
          { mounts: [{ how: 'path', path: spot }], request: { command: ['cat', '/m/x'] } },
        ])),
      )
    }
    expect(outcomes.map(({ exit, stdout }) => [exit, stdout])).toEqual([
      [0, 'open\n'],
      [125, ''],
      [1, ''],
      [125, ''],
      [0, 'open\n'],
    ])
  },
)
