// `hepwrap doctor`: proves that this node is fit, each check with what to do where it fails. Proof, not configuration:
// probe containers are started through the same gate as any run, in what looks like a job, and must run into its limits.
import { statfsSync } from 'node:fs'
import { asHepwrapError, HepwrapError } from '../base/errors.js'
import type { DoctorCheck } from '../wire/job-api.js'
import type { Daemon } from './compose.js'
import { ACCOUNTING_CHECKS } from './accounting-checks.js'
import { Unfit, type Check } from './doctor-check.js'
import { LIMIT_CHECKS } from './limit-checks.js'
import { NODE_CHECKS } from './node-checks.js'
import { openBench } from './probe.js'

const MIN_FREE_BYTES = 64 * 1024 * 1024

const ENGINE_MEND = 'start the container engine, or correct [engine] socket'

const CHECKS: readonly Check[] = [
  {
    name: 'engine',
    mend: ENGINE_MEND,
    examine: async ({ engine }) => {
      const { name, version, apiVersion } = await engine.facts()
      return `${name} ${version}, API ${apiVersion}`
    },
  },
  ...NODE_CHECKS,
  {
    name: 'ledger',
    mend: 'free or mount the file system of [node] state_dir',
    examine: async ({ ledger, config }) => {
      ledger.probe()
      const { bavail, bsize } = statfsSync(config.node.state_dir)
      const free = bavail * bsize
      if (free < MIN_FREE_BYTES)
        throw new HepwrapError('HW_LEDGER_UNAVAILABLE', `only ${free} bytes are free`)
      return `written; ${Math.floor(free / 1024 ** 2)} MiB free`
    },
  },
  ...LIMIT_CHECKS,
  ...ACCOUNTING_CHECKS,
]

const examining = new WeakMap<Daemon, Promise<readonly DoctorCheck[]>>()

/** Who asks while it is being done gets the same answer: probes side by side would take each other's time and image. */
export function examine(daemon: Daemon): Promise<readonly DoctorCheck[]> {
  const known = examining.get(daemon)
  if (known !== undefined) return known
  const made = makeChecks(daemon).finally(() => examining.delete(daemon))
  examining.set(daemon, made)
  return made
}

/** Every check, in order; one that fails does not keep the next from being made. */
async function makeChecks(daemon: Daemon): Promise<readonly DoctorCheck[]> {
  const results: DoctorCheck[] = []
  const bench = openBench(daemon)
  for (const { name, mend, examine: check } of CHECKS) {
    try {
      results.push({ name, ok: true, detail: await check(daemon, bench), mend: null })
    } catch (thrown) {
      const { message, code } = asHepwrapError(thrown)
      const usual = typeof mend === 'string' ? mend : mend(code)
      const own = thrown instanceof Unfit ? thrown.mend : usual
      const first = code === 'HW_ENGINE_DOWN' ? ENGINE_MEND : own
      results.push({ name, ok: false, detail: `${message} (${code})`, mend: first })
    }
  }
  await bench.close()
  return results
}
