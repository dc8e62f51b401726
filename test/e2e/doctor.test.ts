// `hepwrap doctor`: a fit node passes, and each way of not being fit is found, with what mends it.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import type { DoctorCheck } from '../../src/wire/job-api.js'
import { startDaemon, stopDaemons } from '../world/daemon.js'
import { containers, leftovers, mounts, nothing } from '../world/traces.js'
import { as, service } from '../world/world.js'

afterEach(stopDaemons)

const PROOFS = ['placement', 'memory limit', 'cpu limit', 'pids limit', 'kill', 'cpu accounting']
const NODE = ['engine', 'cgroup driver', 'cgroup layout', 'slurm']
const NAMES = [...NODE, 'ledger', ...PROOFS, 'aggregator', 'records']
const isV2 = mounts().every(({ type }) => type !== 'cgroup')

/** All checks by name, and the exit status. */
async function doctor(): Promise<{ status: number | null; checks: Record<string, DoctorCheck> }> {
  const { status, stdout } = await as('root').run(['hepwrap', 'doctor', '--json'])
  const checks = JSON.parse(stdout) as DoctorCheck[]
  return { status, checks: Object.fromEntries(checks.map((check) => [check.name, check])) }
}

const failures = (checks: Record<string, DoctorCheck>) =>
  Object.values(checks)
    .filter(({ ok }) => !ok)
    .map(({ name }) => name)

/** For whoever reads why a test failed. */
const details = (checks: Record<string, DoctorCheck>) =>
  Object.values(checks)
    .filter(({ ok }) => !ok)
    .map(({ detail }) => detail)
    .join('\n')

describe('on a fit node', () => {
  it('every check is ok, the limits are proven to bind, and nothing is left of the probe', async () => {
    const daemon = await startDaemon()
    const before = await engineState()
    const { status, checks } = await doctor()
    expect(failures(checks), details(checks)).toEqual([])
    expect(status).toBe(0)
    expect(Object.keys(checks)).toEqual(NAMES)
    expect(Object.values(checks).map(({ mend }) => mend)).toEqual(NAMES.map(() => null))
    expect(checks['engine']!.detail).toMatch(/^docker \d+\.\d+.*, API \d+\.\d+$/)
    const said = (name: string) => checks[name]!.detail
    expect(said('cgroup layout')).toMatch(
      isV2
        ? /^cgroup v2; Slurm in \/system\.slice\/(\w+_)?slurmstepd\.scope/
        : /^cgroup v1.*; Slurm in .*\/memory\/slurm_n1/,
    )
    expect(said('slurm')).toMatch(/slurm\.conf: proctrack\/cgroup.*ConstrainRAMSpace/)
    expect(said('placement')).toMatch(isV2 ? /threaded child of the task/ : /own in .*memory/)
    expect(said('memory limit')).toMatch(/64 MiB that took 256 MiB was ended by the kernel/)
    expect(said('cpu limit')).toMatch(/0\.5 cpus used \d+ ms/)
    expect(said('pids limit')).toMatch(/16 processes was refused the next/)
    expect(said('kill')).toMatch(/ignore SIGTERM were gone after \d+ ms$/)
    expect(said('cpu accounting')).toMatch(/counted the container's \d+ ms of cpu time/)

    expect(await leftovers()).toEqual(nothing)
    expect(await engineState()).toEqual(before)
    expect(readdirSync(`${daemon.runDirectory}/runs`)).toEqual([])
    expect(daemon.ledgerRows()).toEqual([]) // the probe is nobody's run
  })

  it('prints a line for each check', async () => {
    await startDaemon()
    const { stdout, stderr } = await as('root').run(['hepwrap', 'doctor'])
    expect(stderr).toBe('')
    const lines = stdout.trimEnd().split('\n')
    expect(lines).toHaveLength(NAMES.length)
    for (const [index, line] of lines.entries())
      expect(line.startsWith(`ok   ${NAMES[index]!} `), line).toBe(true)
  })

  it('may be asked by root alone', async () => {
    await startDaemon()
    const { status, stdout, stderr } = await as('alice').run(['hepwrap', 'doctor'])
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toContain('(HW_ROOT_ONLY)')
  })
})

describe('finds', () => {
  it('a daemon that is down', async () => {
    const { status, checks } = await doctor()
    expect({ status, failed: failures(checks) }).toEqual({ status: 1, failed: ['daemon'] })
    expect(checks['daemon']!.mend).toContain('systemctl start hepwrapd')
    const { stdout } = await as('root').run(['hepwrap', 'doctor'])
    expect(stdout).toMatch(/^FAIL daemon .*\n +mend: .*start it/)
  })

  it('an engine that is down, and names it as the mend of all that needs it', async () => {
    await startDaemon()
    await service('stop', 'dockerd')
    try {
      const { status, checks } = await doctor()
      expect(status).toBe(1)
      expect(failures(checks), details(checks)).toEqual(['engine', 'cgroup driver', ...PROOFS])
      for (const name of failures(checks)) {
        expect(checks[name]!.detail).toContain('(HW_ENGINE_DOWN)')
        expect(checks[name]!.mend).toContain('start the container engine')
      }
    } finally {
      await service('start', 'dockerd')
    }
    expect((await doctor()).status).toBe(0)
    expect(await leftovers()).toEqual(nothing)
  })

  it('a wrong cgroup driver: systemd where systemd does not run', async () => {
    await startDaemon()
    await withDriver('systemd', async () => {
      const { status, checks } = await doctor()
      expect(status).toBe(1)
      expect(failures(checks), details(checks)).toContain('cgroup driver')
      expect(checks['cgroup driver']!.detail).toContain('systemd')
      expect(checks['cgroup driver']!.mend).toContain('native.cgroupdriver')
      // That engine starts nothing: the limits cannot be proven either, and that is said.
      expect(failures(checks), details(checks)).toContain('memory limit')
      expect(await leftovers()).toEqual(nothing)
    })
  })

  it('a Slurm that gives jobs no memory limit', async () => {
    await startDaemon()
    const path = '/etc/slurm/cgroup.conf'
    const text = readFileSync(path, 'utf8')
    writeFileSync(path, text.replace('ConstrainRAMSpace=yes', 'ConstrainRAMSpace=no'))
    try {
      const { status, checks } = await doctor()
      expect({ status, failed: failures(checks) }).toEqual({ status: 1, failed: ['slurm'] })
      expect(checks['slurm']!.detail).toContain('ConstrainRAMSpace=no')
      expect(checks['slurm']!.mend).toBe('ConstrainRAMSpace=yes in cgroup.conf')
    } finally {
      writeFileSync(path, text)
    }
  })

  it('a ledger that cannot be written: disk full, or nearly', async () => {
    await onSmallDisk(8, async (directory, resize) => {
      await startDaemon({ config: { node: { state_dir: `${directory}/state` } } })
      const ledger = async () => {
        const { status, checks } = await doctor()
        expect(status).toBe(1)
        expect(failures(checks), details(checks)).toEqual(['ledger'])
        expect(checks['ledger']!.mend).toContain('state_dir')
        return checks['ledger']!.detail
      }
      expect(await ledger()).toMatch(/^only \d+ bytes are free \(HW_LEDGER_UNAVAILABLE\)$/)
      fill(`${directory}/ballast`)
      expect(await ledger()).toMatch(/full.*\(HW_LEDGER_UNAVAILABLE\)$/)
      execFileSync('rm', [`${directory}/ballast`])
      resize(200)
      expect((await doctor()).status).toBe(0)
    })
  })

  it('an aggregator that does not answer', async () => {
    await startDaemon({ config: { accounting: { aggregator: 'http://127.0.0.1:9' } } })
    const { status, checks } = await doctor()
    expect(status).toBe(1)
    expect(failures(checks), details(checks)).toEqual(['aggregator'])
    expect(checks['aggregator']!.mend).toContain('[accounting] aggregator')
  })
})

async function engineState() {
  const { stdout } = await as('root').run([
    'docker',
    'images',
    '-a',
    '--format',
    '{{.Repository}}:{{.Tag}}',
  ])
  return { containers: await containers(), images: stdout.split('\n').sort() }
}

async function withDriver(driver: string, test: () => Promise<void>): Promise<void> {
  writeFileSync('/etc/docker/world-driver', driver)
  await service('restart', 'dockerd')
  try {
    await test()
  } finally {
    writeFileSync('/etc/docker/world-driver', 'cgroupfs')
    await service('restart', 'dockerd')
  }
}

async function onSmallDisk(
  mebibytes: number,
  test: (directory: string, resize: (mebibytes: number) => void) => Promise<void>,
): Promise<void> {
  const directory = '/srv/small'
  if (!existsSync(directory)) mkdirSync(directory)
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m,mode=0755`, 'small', directory])
  try {
    await test(directory, (size) => {
      execFileSync('mount', ['-o', `remount,size=${size}m`, directory])
    })
  } finally {
    await stopDaemons()
    execFileSync('umount', [directory])
  }
}

/** Until not a block is free. */
function fill(path: string): void {
  execFileSync('sh', ['-c', `dd if=/dev/zero of=${path} bs=4k 2>/dev/null; true`])
}
