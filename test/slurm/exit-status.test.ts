// What `hepwrap run` says by its exit status. Most runs here share one step, which is quicker than a job each.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { expectNothingLeft, ownLines, recordOf } from '../world/runs.js'
import { as, type Result, waitJob } from '../world/world.js'
import { hepwrapRuns } from './job-runs.js'

const OWN = [0, 1, 37, 125, 126, 127, 255]
const SIGNALS = [
  ['HUP', 1],
  ['INT', 2],
  ['KILL', 9],
  ['USR1', 10],
  ['SEGV', 11],
  ['TERM', 15],
] as const
const COMMANDS = [
  ['no-such-command', 127, 'HW_COMMAND_NOT_FOUND'],
  ['/no/such/file', 127, 'HW_COMMAND_NOT_FOUND'],
  ['/etc/passwd', 126, 'HW_COMMAND_NOT_EXECUTABLE'],
  ['/etc', 126, 'HW_COMMAND_NOT_EXECUTABLE'],
] as const
const REFUSALS: [string[], string, number, string][] = [
  [['nowhere/secret:1', 'true'], 'nowhere/secret:1', 125, 'HW_IMAGE_REFUSED'],
  [['UPPER CASE', 'true'], 'UPPER CASE', 125, 'HW_IMAGE_INVALID'],
  [['--privileged', 'busybox:test', 'true'], '--privileged', 125, 'HW_OPTION_FORBIDDEN'],
  [['--bogus', 'busybox:test', 'true'], '--bogus', 125, 'HW_OPTION_UNKNOWN'],
  [['--workdir', '/not/there', 'busybox:test', 'true'], '/not/there', 126, 'HW_WORKDIR'],
]

let daemon: Daemon
const results = new Map<string, Pick<Result, 'status' | 'stdout' | 'stderr'>>()

beforeAll(async () => {
  daemon = await startDaemon()
  const shell = (name: string, script: string) => [
    '--name',
    name,
    'busybox:test',
    'sh',
    '-c',
    script,
  ]
  const runs: [string, string[]][] = [
    ...OWN.map((status): [string, string[]] => {
      const name = `own-${status}`
      return [name, shell(name, `echo out; echo err >&2; exit ${status}`)]
    }),
    ...SIGNALS.map(([signal]): [string, string[]] => {
      return [signal, shell(signal, `kill -${signal} $$; sleep 9`)]
    }),
    ...COMMANDS.map(([command], index): [string, string[]] => {
      return [command, ['--name', `command-${index}`, 'busybox:test', command]]
    }),
    ...REFUSALS.map(([args, , , code]): [string, string[]] => [code, args]),
  ]
  const ended = await hepwrapRuns(
    'alice',
    runs.map(([, args]) => args),
  )
  for (const [index, [key]] of runs.entries()) results.set(key, ended[index]!)
})
afterAll(async () => {
  await expectNothingLeft()
  await stopDaemons()
})

describe('exit status', () => {
  it.each(OWN)('ACCEPTANCE 19: %i of the command is passed on', (status) => {
    expect(results.get(`own-${status}`)).toEqual({ status, stdout: 'out\n', stderr: 'err\n' })
    expect(recordOf(daemon, `own-${status}`)).toMatchObject({
      state: status === 0 ? 'COMPLETED' : 'FAILED',
      reason: null,
      exit_code: status,
      signal: null,
    })
  })

  it.each(SIGNALS)('ACCEPTANCE 19: death by SIG%s is 128 + %i', (signal, number) => {
    expect(results.get(signal)).toEqual({ status: 128 + number, stdout: '', stderr: '' })
    expect(recordOf(daemon, signal)).toMatchObject({
      state: 'FAILED',
      reason: 'HW_SIGNALED',
      exit_code: 128 + number,
      signal: number,
    })
  })

  it.each(COMMANDS)('ACCEPTANCE 19: command %s: %i and one line', (command, wanted, code) => {
    const { status, stdout, stderr } = results.get(command)!
    expect({ status, stdout }).toEqual({ status: wanted, stdout: '' })
    expect(stderr).toMatch(/^hepwrap: [^\n]* \(HW_[A-Z_]+(, run [0-9a-f]+)?\)\n$/)
    expect(stderr).toContain(JSON.stringify(command))
    expect(stderr).toContain(code)
    const index = COMMANDS.findIndex(([each]) => each === command)
    expect(recordOf(daemon, `command-${index}`)).toMatchObject({
      state: 'FAILED',
      reason: code,
      exit_code: wanted,
    })
  })

  it.each(REFUSALS)('ACCEPTANCE 19: refusal of %j quotes %s: %i and one line', (...row) => {
    const [, value, wanted, code] = row
    const { status, stdout, stderr } = results.get(code)!
    expect({ status, stdout }).toEqual({ status: wanted, stdout: '' })
    expect(stderr).toMatch(/^hepwrap: [^\n]*\n$/)
    expect(stderr).toContain(value)
    expect(stderr).toContain(code)
  })

  it("ACCEPTANCE 19: a batch job ends with its container's status", async () => {
    const { id } = await as('alice').sbatch('hepwrap run busybox:test sh -c "exit 37"')
    const { state, exitCode } = await waitJob(id)
    expect({ state, exitCode }).toEqual({ state: 'FAILED', exitCode: 37 })
  })

  it("ACCEPTANCE 19: srun ends with the highest of its tasks' statuses", async () => {
    const { status, stdout, stderr } = await as('bob').srun([
      ...['-Q', '-p', 'shared', '-O', '-n3', 'hepwrap', 'run', '-e', 'SLURM_PROCID'],
      ...['busybox:test', 'sh', '-c', 'echo $SLURM_PROCID; exit $((SLURM_PROCID * 10))'],
    ])
    expect({ status, stderr: ownLines(stderr) }).toEqual({ status: 20, stderr: [] })
    expect(stdout.split('\n').sort().join(' ').trim()).toBe('0 1 2')
  })
})
