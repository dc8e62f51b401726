// `-t`: the payload has a real terminal, and the user's own is as it was afterwards.
import { readlinkSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { clientOf, clientsOf, closedRecord, expectNothingLeft } from '../world/runs.js'
import { type OnTerminal, startOnTerminal } from '../world/terminal.js'
import { processes } from '../world/traces.js'
import { as, expectSuccess } from '../world/world.js'

let daemon: Daemon
beforeAll(async () => void (daemon = await startDaemon()))
afterEach(() => expectNothingLeft())
afterAll(stopDaemons)

interface Shell extends OnTerminal {
  /** Waits until the terminal has shown this. */
  shows: (text: string) => Promise<void>
}

/** A user's shell in a step, on his terminal. */
async function shellInStep(): Promise<Shell> {
  const shell = await startOnTerminal('alice', ['srun', '-Q', '--pty', 'bash', '--norc'])
  const shown = () => shell.stdoutSoFar().replaceAll('\r', '')
  const shows = async (text: string) => {
    await eventually(() => shown().includes(text)).catch(() => expect(shown()).toContain(text))
  }
  await shows('$ ')
  return { ...shell, shows }
}

/** The settings of the terminal that a process has as its stdin. */
async function settingsOf(pid: number): Promise<string> {
  const path = readlinkSync(`/proc/${pid}/fd/0`)
  return expectSuccess(await as('root').run(['stty', '-a', '-F', path])).stdout
}

describe('a terminal', () => {
  it('ACCEPTANCE 21: has a size, is resized, is raw meanwhile and as it was afterwards', async () => {
    const shell = await shellInStep()
    const payload =
      'test -t 0 && test -t 1 && test -t 2 && stty size; trap "stty size" WINCH; until [ -e go ]; do sleep 0.05; done; until [ "$line" ]; do read line; done; echo "<$line>"; exit 7'
    shell.type(`hepwrap run -it --name sized busybox:test sh -c '${payload}'; echo status $?\r`)
    await shell.shows('\n24 80\n')
    const client = await clientOf('sized')
    const raw = await settingsOf(client.pid)
    expect(raw).toMatch(/-icanon[^]*-echo\b/)
    expect(raw).toMatch(/-opost\b/) // or "\n" of a full-screen program would also return to column 0
    expect(shell.stdoutSoFar()).toContain('\n24 80\r\n')
    await shell.resize(50, 132)
    await shell.shows('\n50 132\n')
    await as('alice').run(['touch', 'go'])
    shell.type('words\r')
    await shell.shows('<words>\n')
    await shell.shows('status 7\n')
    shell.type('stty -a\r')
    await shell.shows('isig')
    await eventually(
      () => / icanon/.test(shell.stdoutSoFar()) && / echo /.test(shell.stdoutSoFar()),
    )
    shell.type('exit\r')
    expect((await shell.result).status).toBe(0)
  })

  it('ACCEPTANCE 21: Ctrl-C interrupts the payload, not the client', async () => {
    const shell = await shellInStep()
    const payload = 'trap "echo caught; exit 5" INT; echo ready; while :; do sleep 0.05; done'
    shell.type(`hepwrap run -it --name ctrl busybox:test sh -c '${payload}'; echo status $?\r`)
    await shell.shows('ready\n')
    shell.type('\x03')
    await shell.shows('caught\n')
    await shell.shows('status 5\n')
    shell.type('exit\r')
    expect((await shell.result).status).toBe(0)
    expect(await closedRecord(daemon, 'ctrl')).toMatchObject({ state: 'FAILED', exit_code: 5 })
  })

  it('ACCEPTANCE 21: a shell in the container has job control', async () => {
    const shell = await shellInStep()
    shell.type('hepwrap run -it -e PS1=in: --name jobs debian:test bash --norc; echo status $?\r')
    await shell.shows('\nin:')
    shell.type('cat\r')
    await eventually(() => processes(/^cat$/).length > 0)
    shell.type('line\r')
    await shell.shows('line\nline\n')
    shell.type('\x1a')
    await shell.shows('Stopped')
    shell.type('fg\r')
    await shell.shows('in:fg\ncat\n')
    shell.type('\x03')
    await shell.shows('^C\nin:')
    shell.type('exit 6\r')
    await shell.shows('status 6\n')
    shell.type('exit\r')
    expect((await shell.result).status).toBe(0)
  })

  it.each(['SIGTERM', 'SIGKILL'] as const)(
    'ACCEPTANCE 21: the terminal is as it was when the daemon ends by %s',
    async (signal) => {
      const shell = await shellInStep()
      const name = `lost-${signal}`
      shell.type(`hepwrap run -it --name ${name} busybox:test cat; echo status $?\r`)
      await shell.shows('cat; echo')
      await eventually(async () => /-icanon/.test(await settingsOf((await clientOf(name)).pid)))
      await daemon.kill(signal)
      await shell.shows('(HW_DAEMON_')
      await shell.shows('status 125\n')
      expect(clientsOf(name)).toEqual([])
      shell.type('stty -a\r')
      await shell.shows(' icanon')
      await daemon.restart()
      shell.type('exit\r')
      expect((await shell.result).status).toBe(0)
    },
  )

  it('ACCEPTANCE 21: -t without -i gives the payload a terminal and leaves stdin to the next', async () => {
    const run = 'hepwrap run -t busybox:test sh -c "test -t 1 && echo a; echo b"; cat'
    const { status, stdout } = await as('alice').srun(['-Q', 'bash', '-c', run], { input: 'mine' })
    expect({ status, stdout }).toEqual({ status: 0, stdout: 'a\r\nb\r\nmine' })
  })

  it('ACCEPTANCE 21: -it without a terminal is refused by name', async () => {
    const { status, stderr } = await as('alice').srun([
      '-Q',
      'hepwrap',
      'run',
      '-it',
      'busybox:test',
      'true',
    ])
    expect(status).toBe(125)
    expect(stderr).toMatch(/^hepwrap: .*terminal.* \(HW_USAGE\)$/m)
  })
})
