// Start is recovery: after kill -9 of the daemon at any instant, and after a loss of power, each record exists once and tells
// the truth, nothing of a run is left, and what belongs to others on the same engine is as it was.
import { existsSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import {
  clientOf,
  clientsOf,
  closedRecord,
  expectNothingLeft,
  payloadsOf,
  recordOf,
  startStep,
} from '../world/runs.js'
import { cgroupsNamed, containers, engine, mounts, processes } from '../world/traces.js'
import { as, expectSuccess, service, waitJob } from '../world/world.js'

const INSTANTS = 20
const alice = as('alice')
const root = as('root')
const elapse = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
let daemon: Daemon
const foreign: string[] = []

beforeAll(async () => {
  // Another tool's container, another node's on the same engine, and one that only looks like ours by its name.
  for (const options of [
    [],
    [
      '--label',
      'hepwrap.run=0123456789abcdef0123456789abcdef',
      '--label',
      'hepwrap.node=hepp/other',
    ],
    ['--name', 'hepwrap-0123456789abcdef0123456789abcdef'],
  ]) {
    const run = [
      'docker',
      'run',
      '-d',
      '--restart=always',
      ...options,
      'busybox:test',
      'sleep',
      '961',
    ]
    foreign.push(expectSuccess(await root.run(run)).stdout.trim())
  }
  daemon = await startDaemon()
})
afterAll(async () => {
  await stopDaemons()
  await root.run(['docker', 'rm', '-f', ...foreign])
})

async function startedAt(): Promise<unknown[]> {
  const inspected = await Promise.all(foreign.map((id) => engine('GET', `/containers/${id}/json`)))
  return inspected
    .map(({ body }) => (body as { State: { Running: boolean; StartedAt: string } }).State)
    .map(({ Running, StartedAt }) => Running && StartedAt)
}

/** Nothing of ours; the containers of others do not count. */
async function expectOnlyForeign(timeoutMs = 5000) {
  const ours = async () => ({
    containers: (await containers()).map(({ Id }) => Id).filter((id) => !foreign.includes(id)),
    cgroups: cgroupsNamed(/^hepwrap-[0-9a-f]{32}$/),
    inits: processes(/^\/\.hepwrap[^/]*\/init/).map(({ pid }) => pid),
    mounts: mounts()
      .map(({ mountPoint }) => mountPoint)
      .filter((path) => path.startsWith('/run/hepwrap/')),
  })
  const none = { containers: [], cgroups: [], inits: [], mounts: [] }
  const isNone = async () => Object.values(await ours()).every((list) => list.length === 0)
  await eventually(isNone, { timeoutMs }).catch(async () => expect(await ours()).toEqual(none))
}

describe('recovery', () => {
  it(`kill -9 of the daemon at ${INSTANTS} instants of many runs: each record once and true, nothing left`, async () => {
    const before = await startedAt()
    // Each loop is a user who tries again and again; what a payload finished is known by its file.
    const payload = 'sleep 0.$1; echo $0 >>finished'
    const loop = (lane: number) =>
      `i=0; while [ -e going ]; do i=$((i+1)); n=lane${lane}-$i; hepwrap run --name $n busybox:test sh -c '${payload}' $n ${lane} >/dev/null 2>&1; s=$?; echo $n $s >>told; [ $s = 0 ] || sleep 0.2; done &`
    await alice.run(['touch', 'going', 'finished', 'told'])
    const step = startStep(
      'alice',
      `${[0, 1, 2].map(loop).join(' ')} wait`,
      ['-p', 'shared', '--mem=1000M'],
      {
        timeoutMs: 120_000,
      },
    )
    for (let instant = 0; instant < INSTANTS; instant++) {
      const known = daemon.ledgerRows('select count(*) as count from records')[0]![
        'count'
      ] as number
      await eventually(
        () =>
          (daemon.ledgerRows('select count(*) as count from records')[0]!['count'] as number) >
          known,
      )
      await elapse(Math.random() * 350)
      await daemon.kill('SIGKILL')
      await daemon.restart()
    }
    // On a busy machine no run may have come to its end between two instants.
    const completed = "select id from records where state = 'COMPLETED'"
    await eventually(() => daemon.ledgerRows(completed).length > 0)
    await alice.run(['rm', 'going'])
    await step.result
    await expectOnlyForeign()
    expect(await startedAt()).toEqual(before)

    const rows = daemon.ledgerRows()
    const words = (file: string) =>
      readFileSync(`/home/alice/${file}`, 'utf8')
        .trim()
        .split('\n')
        .map((line) => line.split(' '))
    const finished = new Set(words('finished').map(([name]) => name))
    const told = new Map(words('told').map(([name, status]) => [name, Number(status)]))
    expect(new Set(rows.map((row) => row['id'])).size).toBe(rows.length)
    expect(new Set(rows.map((row) => row['name'])).size).toBe(rows.length)
    const states = new Map<string, number>()
    for (const row of rows) {
      const name = String(row['name'])
      const state = String(row['state'])
      const key = state === 'FAILED' ? `FAILED ${String(row['reason'])}` : state
      states.set(key, (states.get(key) ?? 0) + 1)
      const facts = { name, state, finished: finished.has(name), told: told.get(name) }
      expect(
        ['COMPLETED', 'NODE_FAIL', 'CANCELLED', 'FAILED'],
        JSON.stringify({ ...facts, row }),
      ).toContain(state)
      expect(row['ended_at'], name).not.toBeNull()
      if (state === 'COMPLETED') expect(facts).toMatchObject({ finished: true })
      if (facts.told === 0) expect(facts).toMatchObject({ state: 'COMPLETED', finished: true })
    }
    const counts = JSON.stringify([...states])
    expect(states.get('NODE_FAIL') ?? 0, counts).toBeGreaterThan(INSTANTS / 2)
    expect(states.get('COMPLETED') ?? 0, counts).toBeGreaterThan(0)
    // A run without a record never began.
    const recorded = new Set(rows.map((row) => row['name']))
    for (const name of finished) expect(recorded).toContain(name)
  }, 120_000)

  it('kill -9 of the daemon: the client says one line and 125, the payload sees SIGTERM, the record says why', async () => {
    const payload =
      'trap "echo TERM >lost.seen; exit 0" TERM; echo ready; while sleep 0.05; do :; done'
    const step = startStep(
      'alice',
      `hepwrap run --name lost busybox:test sh -c '${payload}'; echo $?; hold`,
    )
    await eventually(() => step.stdoutSoFar() === 'ready\n')
    await daemon.kill('SIGKILL')
    await eventually(() => step.stdoutSoFar() === 'ready\n125\n')
    expect(
      step
        .stderrSoFar()
        .split('\n')
        .filter((line) => line.startsWith('hepwrap: ')),
    ).toEqual([expect.stringContaining('(HW_DAEMON_LOST')])
    await eventually(() => existsSync('/home/alice/lost.seen'))
    await daemon.restart()
    expect(recordOf(daemon, 'lost')).toMatchObject({
      state: 'NODE_FAIL',
      reason: 'HW_DAEMON_RESTARTED',
    })
    step.child.stdin?.end()
    await step.result
    await expectOnlyForeign()
  })

  it('the records of runs that were over are not touched by a restart', async () => {
    expectSuccess(await alice.srun(['hepwrap', 'run', '--name', 'over', 'busybox:test', 'true']))
    const before = recordOf(daemon, 'over')
    await daemon.kill('SIGKILL')
    await daemon.restart()
    expect(recordOf(daemon, 'over')).toEqual(before)
  })

  it.each(['engine', 'daemon'])(
    'ACCEPTANCE 24: power lost and back, the %s first',
    async (first) => {
      const name = `power-${first}`
      const job = await alice.sbatch(`srun hepwrap run --name ${name} busybox:test sleep 962`)
      await eventually(() => payloadsOf(daemon, name).length > 0)
      const [container] = (await containers()).filter(({ Id }) => !foreign.includes(Id))
      await losePower(job.id, name)
      const begin = { engine: () => service('start', 'dockerd'), daemon: () => daemon.restart() }
      await begin[first as keyof typeof begin]()
      await begin[first === 'engine' ? 'daemon' : 'engine']()
      expect(await closedRecord(daemon, name)).toMatchObject({
        state: 'NODE_FAIL',
        reason: 'HW_DAEMON_RESTARTED',
        exit_code: 125,
      })
      await expectOnlyForeign(15_000)
      expect((await containers()).map(({ Id }) => Id)).not.toContain(container!.Id)
      expect(await startedAt()).not.toContain(false) // --restart=always, none of them ours
      const { status, stdout } = await alice.srun([
        '-Q',
        'hepwrap',
        'run',
        'busybox:test',
        'id',
        '-u',
      ])
      expect({ status, stdout }).toEqual({ status: 0, stdout: '2001\n' })
      await waitJob(job.id)
    },
    90_000,
  )

  /** As near to it as a world that goes on can come: every process at once, then /run and the cgroups. */
  async function losePower(jobId: string, name: string) {
    const victims = processes(
      /^(dockerd|containerd|\S*containerd-shim\S*|\/\.hepwrap\S*\/init|sleep 96[12]) ?/,
    )
    for (const { pid } of [...victims, await clientOf(name)]) process.kill(pid, 'SIGKILL')
    await daemon.kill('SIGKILL')
    await alice.scancel(jobId)
    await eventually(() => clientsOf(name).length === 0)
    for (const { mountPoint } of mounts().reverse()) {
      if (/^\/(run\/docker|var\/lib\/docker)\//.test(mountPoint))
        await root.run(['umount', '-l', mountPoint])
    }
    await root.run([
      'bash',
      '-c',
      'rm -rf /run/hepwrap /run/docker /run/docker.pid /run/docker.sock /run/containerd',
    ])
    await root.run([
      'bash',
      '-c',
      "find /sys/fs/cgroup -depth -type d -name 'hepwrap-*' -exec rmdir {} +; true",
    ])
  }
})

it('nothing at all is left', async () => {
  await root.run(['docker', 'rm', '-f', ...foreign])
  await expectNothingLeft('sleep 96\\d')
})
