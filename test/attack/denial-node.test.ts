// What one container takes of the node: processes, memory, descriptors, disk. Its job pays for it, and bob is served meanwhile.
import { readFileSync } from 'node:fs'
import { expect } from 'vitest'
import { hepwrapRun, recordNamed, startRun } from '../slurm/job-runs.js'
import { inits, holdRun } from '../slurm/held-run.js'
import { eventually } from '../world/eventually.js'
import { expectNothingLeft, payloadsOf } from '../world/runs.js'
import { processes } from '../world/traces.js'
import { as, expectSuccess } from '../world/world.js'
import { attack } from './attack.js'
import { expectBobServed, shared, watchDaemon } from './watched-daemon.js'

const PIDS = 48
const watched = watchDaemon({
  policy: { ceilings: { pids: PIDS } },
  node: { stop_timeout_s: 1 },
})
const slurm = shared.slice(1)
const scripts = [
  '-v',
  '/opt/hepwrap/test/attack/attackers:/attackers:ro',
  'debian:test',
  'python3',
  '/attackers/forks.py',
]
const started = (run: { stdoutSoFar: () => string }, word = 'running') =>
  eventually(() => run.stdoutSoFar().includes(word))

attack(
  'D08',
  'own',
  'a fork bomb has as many processes as the site allows, and ends with its run',
  async () => {
    const run = startRun('alice', ['-i', '--name', 'bomb', ...scripts, 'bomb', '4'])
    await started(run)
    let most = 0
    await eventually(() => {
      most = Math.max(most, payloadsOf(watched.daemon, 'bomb').length)
      return run.stdoutSoFar().includes('done')
    })
    expect(most).toBeGreaterThan(PIDS / 2)
    expect(most).toBeLessThanOrEqual(PIDS)
    await expectBobServed()
    run.kill('SIGKILL')
    await run.result
    expect(Number((await recordNamed('bomb', /CANCELLED/)).pids_peak)).toBeLessThanOrEqual(PIDS)
    await expectNothingLeft()
  },
)

attack('D09', 'own', 'orphans that die under init by the thousand are reaped', async () => {
  const run = startRun('alice', ['-i', '--name', 'zombies', ...scripts, 'zombies', '1500'])
  await started(run, 'done')
  await eventually(
    () => processes().filter(({ uid, state }) => uid === 2001 && state === 'Z').length === 0,
  )
  await eventually(() => payloadsOf(watched.daemon, 'zombies').length === 1)
  run.child.stdin?.end()
  expect((await run.result).status).toBe(0)
})

attack(
  'D10',
  'own',
  'a memory hog kills itself: neither the daemon nor another container',
  async () => {
    const held = await holdRun('bob', ['srun', ...shared])
    const program = 'block = [bytearray(1024 * 1024) for _ in range(600)]'
    const { status } = await hepwrapRun(
      'alice',
      ['--name', 'hog', 'debian:test', 'python3', '-c', program],
      { slurm: [...slurm, '--mem=100'] },
    )
    expect(status).toBe(137)
    expect(await recordNamed('hog')).toMatchObject({
      state: 'OUT_OF_MEMORY',
      memory_limit_bytes: 100 * 1024 ** 2,
    })
    await held.release()
    expect(watched.rows(2002).at(-1)).toMatchObject({ state: 'COMPLETED', oom_kills: 0 })
    watched.expectSound()
  },
)

attack(
  'D11',
  'own',
  'tmpfs and shm, however large they say they are, are memory of the job',
  async () => {
    const free = () =>
      Number(/MemAvailable:\s+(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8'))![1]) / 1024
    const before = free()
    const fill =
      'for n in 1 2 3 4; do dd if=/dev/zero of=/t/$n bs=1M count=200; dd if=/dev/zero of=/dev/shm/$n bs=1M count=200; done; echo filled'
    const boast = ['--tmpfs', '/t:size=100g', '--shm-size', '100g', 'busybox:test', 'true']
    const boasted = await hepwrapRun('alice', boast, { slurm: [...slurm, '--mem=150'] })
    expect([0, 125]).toContain(boasted.status) // refused, or never more than the job's memory
    const options = ['--tmpfs', '/t', '--shm-size', '140m', '--name', 'filler']
    await hepwrapRun('alice', [...options, 'busybox:test', 'sh', '-c', fill], {
      slurm: [...slurm, '--mem=150'],
    })
    const record = await recordNamed('filler')
    // Whom of its processes the kernel takes is its own affair: nobody holds the pages of a tmpfs.
    expect(record.state).toBe('OUT_OF_MEMORY')
    expect(record.oom_kills).toBeGreaterThan(0)
    expect(record.memory_peak_bytes).toBeGreaterThan(100 * 1024 ** 2)
    expect(record.memory_peak_bytes).toBeLessThanOrEqual(150 * 1024 ** 2)
    await expectNothingLeft()
    expect(free()).toBeGreaterThan(before - 250) // what it filled went with it
  },
)

attack(
  'D12',
  'own',
  'descriptors that a container holds are its own, not the daemon’s',
  async () => {
    const before = watched.openFiles()
    const runs = [1, 2, 3].map((n) =>
      startRun('alice', [
        '-i',
        '--name',
        `files-${n}`,
        '--ulimit',
        'nofile=1024:1024',
        ...scripts,
        'files',
        '1000',
      ]),
    )
    await Promise.all(runs.map((run) => started(run, 'done')))
    expect(watched.openFiles()).toBeLessThan(before + 40)
    await expectBobServed()
    for (const run of runs) run.child.stdin?.end()
    for (const run of runs) expect((await run.result).status).toBe(0)
    await eventually(() => watched.openFiles() <= before + 1)
  },
)

attack(
  'D13',
  'own',
  'as many mounts as are taken come and go with their run, however often',
  async () => {
    const mounts = Array.from({ length: 200 }, (_, n) => ['-v', `/home/alice:/many/${n}`]).flat()
    const tmpfs = Array.from({ length: 40 }, (_, n) => ['--tmpfs', `/few/${n}`]).flat()
    const many = [
      '--name',
      'mounts',
      ...mounts,
      ...tmpfs,
      'busybox:test',
      'sh',
      '-c',
      'grep -o " /many/[0-9]* " /proc/mounts | sort -u | wc -l', // a placeholder lies below each
    ]
    const run = hepwrapRun('alice', many, { slurm, timeoutMs: 50_000 })
    await expectBobServed()
    const { stdout } = expectSuccess(await run)
    expect(stdout).toBe('200\n')
    const twice = ['-v', '/home/alice:/same', '-v', '/home/alice:/same', 'busybox:test', 'true']
    const over = Array.from({ length: 300 }, (_, n) => ['-v', `/home/alice:/m/${n}`]).flat()
    for (const args of [twice, [...over, 'busybox:test', 'true']])
      expect((await hepwrapRun('alice', args, { slurm })).stderr).toMatch(/\(HW_[A-Z_]+\)/)
    await expectNothingLeft()
  },
  90_000,
)

attack(
  'D14',
  'own',
  'a working directory deeper than any path is refused in a line, or entered',
  async () => {
    const script = `
    mkdir -p /scratch/deep 2>/dev/null; cd /scratch/deep || cd $HOME
    for n in $(seq 30); do mkdir -p ${'d'.repeat(200)} && cd ${'d'.repeat(200)} || break; done
    hepwrap run busybox:test pwd; echo "status $?"`
    const { stdout, stderr } = await as('alice').srun([...shared, 'bash', '-c', script])
    expect(stdout).toMatch(/status (0|125)\n$/)
    if (stdout.endsWith('status 125\n')) expect(stderr).toMatch(/^hepwrap: .*\(HW_[A-Z_]+\)$/m)
    watched.expectSound()
    await expectBobServed()
  },
)

attack(
  'D15',
  'own',
  'runs that begin and end in a loop leave the daemon as large as it was',
  async () => {
    await expectBobServed()
    const [files, memory] = [watched.openFiles(), watched.rssMib()]
    const loop =
      'for n in 1 2 3 4 5 6 7 8; do hepwrap run busybox:test true & hepwrap run busybox:test nothing & wait; done 2>/dev/null'
    await as('alice').srun([...shared, 'bash', '-c', loop], { timeoutMs: 60_000 })
    await eventually(() => watched.openFiles() <= files + 1)
    expect(inits()).toEqual([])
    expect(watched.rssMib()).toBeLessThan(memory + 100)
  },
  90_000,
)
