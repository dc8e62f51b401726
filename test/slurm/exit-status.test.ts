// What `hepwrap run` says by its exit status, seen through srun and sbatch.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { expectNothingLeft, ownLines, recordOf } from '../world/runs.js'
import { as, waitJob } from '../world/world.js'

let daemon: Daemon
beforeAll(async () => void (daemon = await startDaemon()))
afterEach(() => expectNothingLeft())
afterAll(stopDaemons)

const run = (...args: string[]) => as('alice').srun(['-Q', 'hepwrap', 'run', ...args])

describe('exit status', () => {
  it.each([0, 1, 37, 255])('ACCEPTANCE 19: %i is passed on', async (wanted) => {
    const name = `exit-${wanted}`
    const { status, stdout, stderr } = await run(
      ...['--name', name, 'busybox:test', 'sh', '-c', `echo out; echo err >&2; exit ${wanted}`],
    )
    expect({ status, stdout, stderr: ownLines(stderr) }).toEqual({
      status: wanted,
      stdout: 'out\n',
      stderr: ['err'],
    })
    expect(recordOf(daemon, name)).toMatchObject({
      state: wanted === 0 ? 'COMPLETED' : 'FAILED',
      reason: null,
      exit_code: wanted,
      signal: null,
    })
  })

  it.each([
    ['HUP', 1],
    ['INT', 2],
    ['KILL', 9],
    ['SEGV', 11],
    ['TERM', 15],
    ['USR1', 10],
  ])('ACCEPTANCE 19: death by SIG%s is 128 + %i', async (signal, number) => {
    const name = `death-${signal}`
    const { status, stderr } = await run(
      ...['--name', name, 'busybox:test', 'sh', '-c', `kill -${signal} $$; sleep 9`],
    )
    expect({ status, stderr: ownLines(stderr) }).toEqual({ status: 128 + number, stderr: [] })
    expect(recordOf(daemon, name)).toMatchObject({
      state: 'FAILED',
      reason: 'HW_SIGNALED',
      exit_code: 128 + number,
      signal: number,
    })
  })

  it.each([
    ['no-such-command', '"no-such-command"', 127, 'HW_COMMAND_NOT_FOUND'],
    ['/no/such/file', '"/no/such/file"', 127, 'HW_COMMAND_NOT_FOUND'],
    ['/etc/passwd', '"/etc/passwd"', 126, 'HW_COMMAND_NOT_EXECUTABLE'],
    ['/etc', '"/etc"', 126, 'HW_COMMAND_NOT_EXECUTABLE'],
  ])('ACCEPTANCE 19: command %s', async (command, quoted, wanted, code) => {
    const name = `command-${wanted}-${command.length}`
    const { status, stdout, stderr } = await run('--name', name, 'busybox:test', command)
    const [line, ...more] = ownLines(stderr)
    expect({ status, stdout, more }).toEqual({ status: wanted, stdout: '', more: [] })
    expect(line).toMatch(/^hepwrap: .* \(HW_[A-Z_]+(, run [0-9a-f]+)?\)$/)
    expect(line).toContain(quoted)
    expect(line).toContain(code)
    expect(recordOf(daemon, name)).toMatchObject({
      state: 'FAILED',
      reason: code,
      exit_code: wanted,
    })
  })

  it.each([
    [['nowhere/secret:1', 'true'], 'nowhere/secret:1', 'HW_IMAGE_REFUSED'],
    [['UPPER CASE', 'true'], 'UPPER CASE', 'HW_IMAGE_INVALID'],
    [['--privileged', 'busybox:test', 'true'], '--privileged', 'HW_OPTION_FORBIDDEN'],
    [['--bogus', 'busybox:test', 'true'], '--bogus', 'HW_OPTION_UNKNOWN'],
    [['--workdir', '/not/there', 'busybox:test', 'true'], '/not/there', 'HW_WORKDIR'],
  ])('ACCEPTANCE 19: refusal of %j is one line and 125, or 126', async (args, value, code) => {
    const { status, stdout, stderr } = await run(...args)
    const [line, ...more] = ownLines(stderr)
    expect({ stdout, more }).toEqual({ stdout: '', more: [] })
    expect(status).toBe(code === 'HW_WORKDIR' ? 126 : 125)
    expect(line).toMatch(/^hepwrap: .*$/)
    expect(line).toContain(value)
    expect(line).toContain(code)
  })

  it('ACCEPTANCE 19: a command that itself ends with 125, 126 or 127 is not taken for a refusal', async () => {
    for (const wanted of [125, 126, 127]) {
      const { status, stderr } = await run('busybox:test', 'sh', '-c', `exit ${wanted}`)
      expect({ status, stderr: ownLines(stderr) }).toEqual({ status: wanted, stderr: [] })
    }
  })

  it("ACCEPTANCE 19: a batch job ends with its container's status", async () => {
    const { id } = await as('alice').sbatch('hepwrap run busybox:test sh -c "exit 37"')
    const { state, exitCode } = await waitJob(id)
    expect({ state, exitCode }).toEqual({ state: 'FAILED', exitCode: 37 })
  })

  it("ACCEPTANCE 19: srun ends with the highest of its tasks' statuses", async () => {
    const { status, stdout } = await as('bob').srun([
      ...['-Q', '-p', 'shared', '-O', '-n3', 'hepwrap', 'run', '-e', 'SLURM_PROCID'],
      ...['busybox:test', 'sh', '-c', 'echo $SLURM_PROCID; exit $((SLURM_PROCID * 10))'],
    ])
    expect(status).toBe(20)
    expect(stdout.split('\n').sort().join(' ').trim()).toBe('0 1 2')
  })
})
