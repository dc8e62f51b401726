// Steps over several nodes: each node's own hepwrapd serves its own tasks, and what belongs to one node stays there.
// cluster: -n 3
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { expectNothingLeft, payloadsOf } from '../world/runs.js'
import { as, expectSuccess, waitJob } from '../world/world.js'

const NODES = ['n1', 'n2', 'n3'] as const
const alice = as('alice')
const daemons = new Map<string, Daemon>()
beforeAll(async () => {
  for (const node of NODES) daemons.set(node, await startDaemon({ node }))
})
afterAll(stopDaemons)

interface Row {
  on: string
  task: unknown
  name: unknown
  node: unknown
  state: unknown
  step_id: unknown
}
const rows = (): Row[] =>
  [...daemons].flatMap(([on, daemon]) => daemon.ledgerRows().map((row) => ({ ...row, on }) as Row))

it('each rank of a step over three nodes runs where Slurm put it, and is recorded there with its rank', async () => {
  const print = 'echo $SLURM_PROCID $SLURM_LOCALID $SLURMD_NODENAME'
  const args = ['-Q', '-N3', '-n6', 'hepwrap', 'run', '-e', 'SLURMD_NODENAME', 'busybox:test']
  const { stdout } = expectSuccess(await alice.srun([...args, 'sh', '-c', print]))
  const places = stdout.trim().split('\n').sort()
  expect(places).toEqual(['0 0 n1', '1 1 n1', '2 0 n2', '3 1 n2', '4 0 n3', '5 1 n3'])
  const told = rows().map((row) => [row.task, row.node, row.on, row.state, row.step_id])
  const expected = places.map((place) => {
    const [rank, , node] = place.split(' ')
    return [Number(rank), node, node, 'COMPLETED', '0']
  })
  expect(told.sort()).toEqual(expected)
})

it('scancel of a job over three nodes leaves nothing on any of them', async () => {
  const job = await alice.sbatch('srun hepwrap run --name wide busybox:test sleep 997', [
    '-N3',
    '--ntasks-per-node=2',
  ])
  const payloads = () => [...daemons.values()].map((daemon) => payloadsOf(daemon, 'wide').length)
  await eventually(() => payloads().every((count) => count > 0), { what: 'payloads on each node' })
  await alice.scancel(job.id)
  await waitJob(job.id)
  await expectNothingLeft('sleep 997')
  const ended = rows().filter((row) => row.name === 'wide')
  expect(ended.map((row) => [row.on, row.state]).sort()).toEqual(
    NODES.flatMap((node) => [
      [node, 'CANCELLED'],
      [node, 'CANCELLED'],
    ]),
  )
})
