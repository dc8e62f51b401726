// stdin, stdout and stderr of a run: apart, in order, complete to the last byte, whatever the bytes and whoever is slow.
import { createHash } from 'node:crypto'
import { constants, createReadStream, openSync, readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually, PATIENCE } from '../world/eventually.js'
import {
  clientOf,
  closedRecord,
  expectNothingLeft,
  ownLines,
  payloadsOf,
  startStep,
} from '../world/runs.js'
import { cgroupsNamed } from '../world/traces.js'
import { as, expectSuccess, type Running } from '../world/world.js'

const BLOB_BYTES = 128 * 1024 * 1024
const alice = as('alice')
let daemon: Daemon
let blobSum: string
let patient: Running
let patientPipe: number
let patientEndedMs: number

beforeAll(async () => {
  daemon = await startDaemon()
  const make = `head -c ${BLOB_BYTES} /dev/urandom >blob; sha256sum <blob; mkfifo slow patient`
  blobSum = expectSuccess(await alice.run(['bash', '-c', make])).stdout
  // Read only by the last test here, long after its container has ended.
  patientPipe = openSync('/home/alice/patient', constants.O_RDONLY | constants.O_NONBLOCK)
  // No more than the pipes and sockets on its way hold, so that the command itself does not wait.
  const script = 'hepwrap run --name patient busybox:test head -c 450000 blob >patient; echo $?'
  patient = startStep('alice', script, [], { timeoutMs: 60_000 })
  const hasStarted = () => daemon.logText().includes('"run started"')
  await eventually(() => hasStarted() && cgroupsNamed(/^hepwrap-/).length === 0)
  patientEndedMs = performance.now()
})
afterAll(async () => {
  await expectNothingLeft()
  await stopDaemons()
})

const inStep = (script: string, input?: string | Buffer) =>
  alice.srun(['-Q', 'bash', '-c', script], input === undefined ? {} : { input })

describe('output', () => {
  it('ACCEPTANCE 20: stdout and stderr are apart, each in order', async () => {
    const loop = 'i=0; while [ $i -lt 3000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done'
    const { status, stdout, stderr } = await inStep(`hepwrap run busybox:test sh -c '${loop}'`)
    const lines = (word: string) => Array.from({ length: 3000 }, (_, i) => `${word} ${i}`)
    expect(status).toBe(0)
    expect(stdout.trimEnd().split('\n')).toEqual(lines('out'))
    expect(ownLines(stderr)).toEqual(lines('err'))
  })

  it('ACCEPTANCE 20: any bytes on stdout pass through srun', async () => {
    const { status, stdoutBytes } = await alice.srun([
      'hepwrap',
      'run',
      'busybox:test',
      'head',
      '-c',
      String(16 * 1024 * 1024),
      'blob',
    ])
    expect(status).toBe(0)
    expect(stdoutBytes.length).toBe(16 * 1024 * 1024)
    const sent = readFileSync('/home/alice/blob').subarray(0, stdoutBytes.length)
    expect(stdoutBytes.equals(sent)).toBe(true)
  })

  it('ACCEPTANCE 20: 128 MiB of any bytes on stdout and on stderr at once', async () => {
    const run = "hepwrap run busybox:test sh -c 'cat blob & cat blob >&2 & wait'"
    const { status, stdout } = await inStep(
      `{ { ${run} 2>&3 3>&- | sha256sum >&4; } 3>&1 | sha256sum >&4; } 4>&1`,
    )
    expect({ status, stdout }).toEqual({ status: 0, stdout: blobSum + blobSum })
  })

  it('ACCEPTANCE 20: the last bytes of a command that ends at once are there, each time', async () => {
    const { stdout } = await inStep(
      'for i in 1 2 3 4 5 6 7 8; do hepwrap run busybox:test sh -c "head -c 150001 /dev/zero; printf end" | wc -c; done',
    )
    expect(stdout.trim().split('\n')).toEqual(Array(8).fill('150004'))
  })

  it('ACCEPTANCE 20: a command that closes its own output goes on to its own status', async () => {
    const { status } = await inStep(
      "hepwrap run busybox:test sh -c 'exec >&- 2>&-; sleep 1.5; exit 3'",
    )
    expect(status).toBe(3)
  })

  it('ACCEPTANCE 20: a slow reader gets all of it, and nobody hoards it meanwhile', async () => {
    const run = startStep('alice', 'hepwrap run --name slow busybox:test cat blob >slow', [], {
      timeoutMs: 60_000,
    })
    const reader = createReadStream('/home/alice/slow')
    const client = await clientOf('slow')
    const [payload] = await eventually(() => stalled(), { timeoutMs: 20_000 })
    expect(bytesRead(payload!)).toBeLessThan(8 * 1024 * 1024)
    expect(memoryMiB(daemon.pid)).toBeLessThan(200)
    expect(memoryMiB(client.pid)).toBeLessThan(100)
    const hash = createHash('sha256')
    for await (const chunk of reader) hash.update(chunk as Buffer)
    expect(`${hash.digest('hex')}  -\n`).toBe(blobSum)
    expect((await run.result).status).toBe(0)
  })

  it('ACCEPTANCE 20: a reader that goes away ends the run, and the client as SIGPIPE would', async () => {
    const { stdout } = await inStep(
      'hepwrap run --name gone busybox:test yes | head -n 1; echo ${PIPESTATUS[0]}',
    )
    expect(stdout).toBe('y\n141\n')
    expect(await closedRecord(daemon, 'gone')).toMatchObject({
      state: 'CANCELLED',
      reason: 'HW_CLIENT_GONE',
    })
  })
})

/** The payload once it has stopped to read for a moment: its writes wait for the reader. */
function stalled(): number[] | undefined {
  const pids = payloadsOf(daemon, 'slow')
  const before = seen
  seen = pids.map(bytesRead).join()
  return pids.length > 0 && seen === before && repeats++ > 20 ? pids : undefined
}
let seen = ''
let repeats = 0

const bytesRead = (pid: number) =>
  Number(/^rchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))![1])
const memoryMiB = (pid: number) =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024

describe('input', () => {
  it.each([
    ['a file', 'hepwrap run -i busybox:test sha256sum <blob'],
    ['a pipe, and back', 'cat blob | hepwrap run -i busybox:test cat | sha256sum'],
  ])('ACCEPTANCE 21: 128 MiB of any bytes from %s', async (_, script) => {
    const { status, stdout } = await inStep(script)
    expect({ status, stdout }).toEqual({ status: 0, stdout: blobSum })
  })

  it('ACCEPTANCE 21: 128 MiB of stdin through srun, and its end', async () => {
    const { status, stdout } = await alice.srun(
      ['-Q', 'hepwrap', 'run', '-i', 'busybox:test', 'sha256sum'],
      { input: readFileSync('/home/alice/blob') },
    )
    expect({ status, stdout }).toEqual({ status: 0, stdout: blobSum })
  })

  it('ACCEPTANCE 21: the end of stdin does not end the output', async () => {
    const { status, stdout } = await inStep(
      "echo words | hepwrap run -i busybox:test sh -c 'cat; sleep 0.3; echo after'",
    )
    expect({ status, stdout }).toEqual({ status: 0, stdout: 'words\nafter\n' })
  })

  it('ACCEPTANCE 21: stdin that is closed from the start is an empty one', async () => {
    const { status, stdout } = await inStep('hepwrap run -i busybox:test wc -c <&-')
    expect({ status, stdout: stdout.trim() }).toEqual({ status: 0, stdout: '0' })
  })

  it('ACCEPTANCE 21: without -i not a byte is taken, and the command sees an empty stdin', async () => {
    const { stdout } = await inStep('hepwrap run busybox:test wc -c; cat', 'for the next\n')
    expect(stdout.trim().split('\n')).toEqual(['0', 'for the next'])
  })

  it('ACCEPTANCE 21: a command that ends without reading its stdin does not hang the client', async () => {
    const { status, durationMs } = await inStep('hepwrap run -i busybox:test sh -c "exit 4" <blob')
    expect(status).toBe(4)
    expect(durationMs).toBeLessThan(8000 * PATIENCE)
    const piped = await inStep(
      'yes | hepwrap run -i busybox:test sh -c "exit 4"; echo ${PIPESTATUS[1]}',
    )
    expect(piped.stdout).toBe('4\n')
  })

  it('ACCEPTANCE 21: signals pass a stdin that nobody reads', async () => {
    const payload = 'trap "echo got it; exit 9" USR1; echo ready; while :; do sleep 0.05; done'
    const run = startStep(
      'alice',
      `hepwrap run -i --name clogged busybox:test sh -c '${payload}' <blob`,
    )
    await eventually(() => run.stdoutSoFar().includes('ready'))
    const client = await clientOf('clogged')
    await eventually(() => isStill(client.pid), { what: 'the client to be clogged' })
    process.kill(client.pid, 'SIGUSR1')
    const { status, stdout } = await run.result
    expect({ status, stdout }).toEqual({ status: 9, stdout: 'ready\ngot it\n' })
  })
})

/** Reports whether a process has stopped to read. */
function isStill(pid: number): boolean {
  const read = bytesRead(pid)
  stillness = read === lastRead ? stillness + 1 : 0
  lastRead = read
  return stillness > 15
}
let lastRead = -1
let stillness = 0

describe('output, long after', () => {
  it('ACCEPTANCE 20: what a reader reads long after the end of the container is complete', async () => {
    const isLong = () => performance.now() - patientEndedMs > 11_000 // the daemon waits 10 s for an engine
    await eventually(isLong, { timeoutMs: 15_000 })
    let bytes = 0
    for await (const chunk of new Socket({ fd: patientPipe, readable: true })) {
      bytes += (chunk as Buffer).length
    }
    expect(bytes).toBe(450_000)
    expect((await patient.result).stdout).toBe('0\n')
  })
})
