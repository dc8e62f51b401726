// cluster: --slurmdbd --slurm JobAcctGatherType=jobacct_gather/none
// A Slurm that does not count what runs in its steps' cgroups: reconcile finds it, with nothing forged.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Aggregator, startAggregator, stopAggregators } from '../world/aggregator.js'
import { startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { as, expectSuccess } from '../world/world.js'
import { hepwrapRun } from './job-runs.js'

let aggregator: Aggregator

beforeAll(async () => {
  aggregator = await startAggregator()
  await startDaemon({ config: { accounting: { aggregator: aggregator.url } } })
})
afterAll(async () => {
  await stopDaemons()
  await stopAggregators()
})

it('CPU time of containers that Slurm did not count is a disagreement', async () => {
  const burn = 'for ((i = 0; i < 4000000; i++)); do :; done; echo $SLURM_JOB_ID'
  const { stdout } = expectSuccess(
    await hepwrapRun('alice', ['debian:test', 'bash', '-c', burn], { slurm: ['-A', 'atlas'] }),
  )
  const found = await eventually(async () => {
    const argv = ['hepwrap', 'reconcile', '--since', 'now-1hour', '-Pn', '-o', 'finding,jobid,user']
    const env = { HEPWRAP_AGGREGATOR: aggregator.url }
    const { status, stdout: text } = await as('root').run(argv, { env })
    return status === 1 ? text : undefined
  })
  expect(found).toBe(`cpu-above-step|${stdout.trim()}.0|alice\n`)
})
