// A full disk under the ledger: nothing runs unrecorded, whoever runs already loses neither output nor record, and all
// is well again once there is space.
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, statfsSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { containers, leftovers, nothing } from '../world/traces.js'
import { as, type Result, type Running } from '../world/world.js'

const DISK = '/srv/ledger-disk'
let daemon: Daemon

beforeAll(() => {
  mkdirSync(DISK, { recursive: true })
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m,mode=0755', 'disk', DISK])
})
afterAll(() => execFileSync('umount', [DISK]))
beforeEach(async () => {
  daemon = await startDaemon({ config: { node: { state_dir: `${DISK}/state` } } })
})
afterEach(async () => {
  freeDisk()
  await stopDaemons()
  rmSync(`${DISK}/state`, { recursive: true })
})

/** To the last block: what a daemon has just let go of may be given back a moment later. */
function fillDisk(): void {
  const fill = `dd if=/dev/zero of=${DISK}/ballast bs=4k oflag=append conv=notrunc 2>/dev/null; true`
  do execFileSync('sh', ['-c', fill])
  while (statfsSync(DISK).bfree > 0)
}
const freeDisk = () => rmSync(`${DISK}/ballast`, { force: true })

const run = (...args: string[]): Promise<Result> =>
  as('alice').srun(['-Q', '-p', 'shared', 'hepwrap', 'run', ...args])
const start = (...args: string[]): Running =>
  as('alice').startSrun(['-Q', '-p', 'shared', 'hepwrap', 'run', ...args])
const stateOf = (name: string) => {
  const row = daemon.ledgerRows().find((candidate) => candidate['name'] === name)
  return row && { state: row['state'], reason: row['reason'], exit: row['exit_code'] }
}
const hepwrapLines = ({ stderr }: Result) =>
  stderr.split('\n').filter((line) => line.startsWith('hepwrap: '))

describe('a full disk under the ledger', () => {
  it('refuses new runs by reason, serves all else, and runs again once there is space', async () => {
    expect((await run('--name', 'before', 'busybox:test', 'true')).status).toBe(0)
    fillDisk()
    const refused = await run('--name', 'during', 'busybox:test', 'true')
    expect(refused.status).toBe(125)
    expect(hepwrapLines(refused)).toEqual([
      expect.stringMatching(/^hepwrap: cannot write .*full \(HW_LEDGER_UNAVAILABLE\)$/),
    ])
    expect(await containers()).toEqual([])
    // What only reads goes on, and so does Slurm's prolog and epilog.
    expect((await as('alice').run(['hepwrap', 'ps', '-a'])).status).toBe(0)
    expect((await as('alice').run(['hepwrap', 'images'])).status).toBe(0)
    const { stdout } = await as('alice').run(['hepwrap', 'acct', '--format', 'json'])
    expect((JSON.parse(stdout) as { name: string }[]).map(({ name }) => name)).toEqual(['before'])
    expect((await as('alice').srun(['-Q', 'echo', 'plain job'])).stdout).toBe('plain job\n')
    // A refusal for another reason keeps its reason, though no record can be kept.
    const denied = await run('--privileged', 'busybox:test', 'true')
    expect(denied.status).toBe(125)
    expect(hepwrapLines(denied).join()).toContain('(HW_OPTION_FORBIDDEN)')

    freeDisk()
    expect((await run('--name', 'after', 'busybox:test', 'true')).status).toBe(0)
    expect(stateOf('after')).toEqual({ state: 'COMPLETED', reason: null, exit: 0 })
    expect(stateOf('during')).toBeUndefined()
    expect(await leftovers()).toEqual(nothing)
  })

  it('lets a run that is going on end well, and closes its record once there is space', async () => {
    const going = start('--name', 'going', '-i', 'busybox:test', 'sh', '-c', 'echo on; cat; exit 7')
    await eventually(() => going.stdoutSoFar().includes('on'))
    fillDisk()
    going.child.stdin?.end('last words\n')
    expect(await going.result).toMatchObject({ status: 7, stdout: 'on\nlast words\n' })
    expect(await leftovers()).toEqual(nothing)
    expect(stateOf('going')).toMatchObject({ state: 'RUNNING' })
    freeDisk()
    await eventually(() => stateOf('going')?.state !== 'RUNNING', { timeoutMs: 8000 })
    expect(stateOf('going')).toEqual({ state: 'FAILED', reason: null, exit: 7 })
    const [row] = daemon.ledgerRows("select * from records where name = 'going'")
    expect(row!['cpu_user_usec']).not.toBeNull()
    expect(row!['ended_at']).not.toBeNull()
  })

  it('that comes in the middle of a launch ends that launch, and nothing of it is left', async () => {
    // An engine that keeps it waiting, so that the disk is full when it goes on.
    await as('root').run(['sh', '-c', 'kill -STOP $(cat /run/docker.pid)'])
    let launch: Running
    try {
      launch = start('--name', 'halfway', 'busybox:test', 'echo', 'ran')
      await eventually(() => stateOf('halfway')?.state === 'RUNNING')
      fillDisk()
    } finally {
      await as('root').run(['sh', '-c', 'kill -CONT $(cat /run/docker.pid)'])
    }
    const result = await launch.result
    expect(result).toMatchObject({ status: 125, stdout: '' })
    expect(hepwrapLines(result).join()).toContain('(HW_LEDGER_UNAVAILABLE)')
    await eventually(async () => (await containers()).length === 0)
    expect(await leftovers()).toEqual(nothing)
    freeDisk()
    await eventually(() => stateOf('halfway')?.state !== 'RUNNING', { timeoutMs: 8000 })
    expect(stateOf('halfway')).toEqual({
      state: 'FAILED',
      reason: 'HW_LEDGER_UNAVAILABLE',
      exit: 125,
    })
  })

  it('keeps no daemon from ending, and what it could not write is written by the next', async () => {
    const going = start('--name', 'stopped', 'busybox:test', 'sleep', '300')
    await eventually(() => daemon.ledgerRows().some((row) => row['started_at'] !== null))
    fillDisk()
    await daemon.kill()
    expect((await going.result).status).toBe(125)
    freeDisk()
    await daemon.restart()
    await eventually(() => stateOf('stopped')?.state !== 'RUNNING')
    expect(stateOf('stopped')).toEqual({
      state: 'NODE_FAIL',
      reason: 'HW_DAEMON_RESTARTED',
      exit: 125,
    })
    expect(await leftovers()).toEqual(nothing)
  })

  it('is overcome by a graceful stop too: the run is ended, its record left for the next start', async () => {
    const going = start('--name', 'graceful', 'busybox:test', 'sleep', '300')
    await eventually(() => daemon.ledgerRows().some((row) => row['started_at'] !== null))
    fillDisk()
    const status = await daemon.stop()
    expect(status).toBe(0)
    expect((await going.result).status).toBe(125)
    expect(await leftovers()).toEqual(nothing)
    freeDisk()
    await daemon.restart()
    await eventually(() => stateOf('graceful')?.state !== 'RUNNING')
    expect(stateOf('graceful')?.state).toBe('NODE_FAIL')
  })
})

describe('a ledger that cannot be written', () => {
  const remount = (options: string) => execFileSync('mount', ['-o', `remount,${options}`, DISK])

  it('keeps a daemon from starting, on a full disk and on a read-only one, and is named', async () => {
    await daemon.stop()
    fillDisk()
    await expect(daemon.restart()).rejects.toThrow(/\(HW_LEDGER_UNAVAILABLE\)/)
    freeDisk()
    remount('ro')
    await expect(daemon.restart()).rejects.toThrow(/read-?only.*\(HW_LEDGER_UNAVAILABLE\)/i)
    remount('rw')
    await daemon.restart()
    expect((await run('busybox:test', 'true')).status).toBe(0)
  })
})
