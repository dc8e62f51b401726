// Runs whose engine is Podman: what every run is promised, and what Podman keeps of them beside.
// cluster: --engine podman
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startDaemon, stopDaemons, type Daemon } from '../world/daemon.js'
import { engineCommand } from '../world/engine.js'
import { closedRecord, expectNothingLeft, recordOf, startStep } from '../world/runs.js'
import { cgroupsNamed, processes } from '../world/traces.js'
import { as, waitJob } from '../world/world.js'

const alice = as('alice')
let daemon: Daemon
let folder = ''

beforeAll(async () => {
  folder = mkdtempSync('/home/alice/podman-')
  await as('root').run(['chown', 'alice:', folder])
  daemon = await startDaemon()
})
afterAll(async () => {
  rmSync(folder, { recursive: true })
  await stopDaemons()
})

const run = (...args: string[]) => ['-Q', 'hepwrap', 'run', ...args]

it('is the user without any privilege, in his directory, and says his status', async () => {
  const script = 'id -u; id -G; pwd; grep -E "Cap|NoNew|Seccomp:" /proc/self/status; exit 7'
  const { status, stdout } = await alice.srun(run('busybox:test', 'sh', '-c', script), {
    cwd: folder,
  })
  expect(status).toBe(7)
  expect(stdout).toMatch(new RegExp(`^2001\\n2001 3000\\n${folder}\\n`))
  expect(stdout.match(/^Cap\w+:\s+0+$/gm)).toHaveLength(5)
  expect(stdout).toMatch(/^NoNewPrivs:\s+1\nSeccomp:\s+2$/m)
})

it('reads and writes with two streams, in her home as herself', async () => {
  const script = 'cat; echo bad >&2; echo mine >hers; stat -c %u:%g hers'
  const input = 'x'.repeat(300_000)
  const result = await alice.srun(run('-i', 'busybox:test', 'sh', '-c', script), {
    cwd: folder,
    input,
  })
  expect(result.stdout).toBe(`${input}2001:2001\n`)
  expect(result.stderr).toBe('bad\n')
})

it('sees what -v says, whatever stands in the target', async () => {
  writeFileSync(join(folder, 'word'), 'word\n')
  const target = '/a,source=/etc,b'
  const result = await alice.srun(
    run(
      '-v',
      `${folder}:${target}:ro`,
      'busybox:test',
      'sh',
      '-c',
      `cat "${target}/word"; ls /a* | wc -l`,
    ),
  )
  expect(result.stdout).toMatch(/^word\n\d+\n$/)
  expect(result.stdout).not.toContain('passwd')
})

it('ends with its step, and is recorded as cancelled', async () => {
  const step = startStep('alice', 'exec hepwrap run --name ended busybox:test sleep 971', [
    '--job-name=ended',
  ])
  const begun = () => processes(/^sleep 971/).length > 0
  while (!begun()) await new Promise((resolve) => setTimeout(resolve, 50))
  await alice.scancel('--name', 'ended')
  await step.result
  expect(await closedRecord(daemon, 'ended')).toMatchObject({
    state: 'CANCELLED',
    engine: 'podman',
  })
  await expectNothingLeft('sleep 971')
})

it('that takes too much memory is ended, and says so', async () => {
  const script = 'hepwrap run --name greedy busybox:test sh -c "tail -c 400m /dev/zero | tail"'
  const { id } = await alice.sbatch(script, ['--mem=100'])
  await waitJob(id)
  expect(recordOf(daemon, 'greedy')).toMatchObject({
    state: 'OUT_OF_MEMORY',
    reason: 'HW_OOM_KILLED',
  })
  await expectNothingLeft()
})

/** But Podman's one directory for all monitors, which its cgroupfs driver makes once. */
const podmansCgroups = () =>
  cgroupsNamed(/^(libpod-.*|conmon)$/).filter((path) => !path.endsWith('/libpod_parent/conmon'))

it('leaves nothing that grows: no container, volume, monitor, or cgroup of one', async () => {
  for (let count = 0; count < 3; count++) {
    const { status } = await alice.srun(run('busybox:test', 'true'))
    expect(status).toBe(0)
  }
  await expectNothingLeft()
  expect(await engineCommand('ps', '--all', '--quiet')).toBe('')
  expect(await engineCommand('volume', 'ls', '--quiet')).toBe('')
  expect(processes(/^\S*conmon /)).toEqual([])
  expect(podmansCgroups()).toEqual([])
})
