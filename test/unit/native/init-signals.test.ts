// A run that goes on: signals from the gate, from outside and from inside; the terminal; a daemon that is lost; noise.
import { readFileSync, rmSync } from 'node:fs'
import { constants } from 'node:os'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { compilePrograms, endRuns, GRACE_MS, hasNamespaces, startInit } from './init-run.js'
import type { InitRun, Programs, RunOptions } from './init-run.js'

const { SIGHUP, SIGKILL, SIGTERM, SIGSTOP, SIGTSTP, SIGCONT } = constants.signals

let programs: Programs

beforeAll(() => {
  programs = compilePrograms()
})
afterEach(endRuns)
afterAll(() => rmSync(programs.folder, { recursive: true, force: true }))

async function started(command: string[], options?: RunOptions): Promise<InitRun> {
  const run = await startInit(programs, command, options)
  run.say('go 0022 /\n')
  await run.heard('ready')
  return run
}

// dash looks at its traps when a child has ended
const trapping = (traps: string) => ['sh', '-c', `${traps}\necho up; while :; do sleep 0.02; done`]

async function up(command: string[]): Promise<InitRun> {
  const run = await started(command)
  await run.printed('up\n')
  return run
}

// Their default is to end a process: not the ignored, not the stopping ones (signal(7))
const isFatal = (number: number) => ![17, 18, 19, 20, 21, 22, 23, 28].includes(number)
const fatal = Array.from({ length: 64 }, (_, index) => index + 1).filter(isFatal)
// PID 1 hears these from outside: not KILL, which ends it, not faults, not the two that the C library keeps
const forwarded = fatal.filter((number) => ![4, 5, 7, 8, 9, 11, 31, 32, 33].includes(number))

describe.skipIf(!hasNamespaces)(
  'init while the command runs (needs user namespaces for everybody)',
  () => {
    describe('signals', () => {
      test('by the gate: every one', async () => {
        for (const number of fatal) {
          const run = await started(['sleep', '60'])
          run.say(`signal ${number}\n`)
          expect(await run.end).toEqual({
            status: 128 + number,
            stdout: '',
            stderr: '',
            lines: ['ready', `signaled ${number}`],
          })
        }
      })

      test('by kill at PID 1: every one that can be caught', async () => {
        for (const number of forwarded) {
          const run = await started(['sleep', '60'])
          process.kill(run.initPid(), number)
          expect(await run.end).toMatchObject({
            status: 128 + number,
            lines: ['ready', `signaled ${number}`],
          })
        }
      })

      test.each([
        'HUP',
        'INT',
        'QUIT',
        'USR1',
        'USR2',
        'TERM',
        'CONT',
        'TSTP',
        'WINCH',
        'ALRM',
        'URG',
      ])('SIG%s reaches a trap, by kill and by the gate, and its status counts', async (name) => {
        const run = await up(
          trapping(
            `trap 'count=$((count + 1)); echo caught $count; [ $count = 1 ] || exit 7' ${name}`,
          ),
        )
        process.kill(run.initPid(), `SIG${name}`)
        await run.printed('caught 1\n')
        run.say(`signal ${constants.signals[`SIG${name}` as NodeJS.Signals]}\n`)
        expect(await run.end).toMatchObject({ status: 7, lines: ['ready', 'exit 7'] })
      })

      test('from the command at PID 1 come back to it', async () => {
        const run = await started(trapping('trap "exit 9" USR1; kill -USR1 1'))
        expect(await run.end).toMatchObject({ status: 9 })
      })

      test('before the command is there wait for it', async () => {
        const run = await startInit(programs, ['sleep', '60'])
        process.kill(run.initPid(), 'SIGTERM')
        run.say('go 0022 /\n')
        expect((await run.end).status).toBe(128 + SIGTERM)
      })

      test('the command starts with none blocked or ignored', async () => {
        const end = await (await started(['grep', '-E', '^Sig(Blk|Ign)', '/proc/self/status'])).end
        expect(end.stdout).toBe('SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n')
      })

      test('SIGCHLD of an orphan is not for the command', async () => {
        const script = `$SIG{CHLD} = sub { exit 9 };
        sub ofSleep { open my $stat, "<", shift or return; <$stat> =~ /[(]sleep[)]/ }
        sub isThere { grep { ofSleep($_) } glob "/proc/[0-9]*/stat" }
        1 until isThere;
        1 while isThere`
        const run = await started(['sh', '-c', '(sleep 0.1 &); exec perl -e "$0"', script])
        expect(await run.end).toMatchObject({ status: 0, stderr: '' })
      })

      test.each([SIGSTOP, SIGTSTP])('%i stops the command, which is no end', async (stop) => {
        const run = await started(['sleep', '60'])
        run.say(`signal ${stop}\n`)
        await untilState(run, 'T')
        run.say(`signal ${SIGCONT}\n`)
        await untilState(run, 'S')
        run.say(`signal ${SIGTERM}\n`)
        expect(await run.end).toMatchObject({ status: 143, lines: ['ready', 'signaled 15'] })
      })

      test('the death of PID 1 is the death of all', async () => {
        const run = await up(trapping('trap "" TERM; sleep 1000 &'))
        process.kill(run.initPid(), 'SIGKILL')
        expect((await run.end).lines).toEqual(['ready'])
      })
    })

    describe('the daemon is lost', () => {
      test('the command gets SIGTERM', async () => {
        const run = await started(['sleep', '60'])
        run.leave()
        expect((await run.end).status).toBe(128 + SIGTERM)
      })

      test('and may end in its own way', async () => {
        const run = await up(trapping('trap "echo saved; exit 5" TERM'))
        run.leave()
        expect(await run.end).toMatchObject({ status: 5, stdout: 'up\nsaved\n' })
      })

      test('but not go on', async () => {
        const run = await up(trapping('trap "" TERM HUP INT; sleep 1000 &'))
        const leftAtMs = performance.now()
        run.leave()
        expect((await run.end).status).toBe(128 + SIGKILL)
        const graceMs = performance.now() - leftAtMs
        expect(graceMs).toBeGreaterThan(GRACE_MS - 20)
        expect(graceMs).toBeLessThan(GRACE_MS + 2_000)
      })

      test('nor when it is stopped', async () => {
        const run = await started(['sleep', '60'])
        run.say(`signal ${SIGSTOP}\n`)
        await untilState(run, 'T')
        run.leave()
        expect((await run.end).status).toBe(128 + SIGKILL)
      })
    })

    describe('a terminal', () => {
      const onTerminal = (script: string) => started(['sh', '-c', script], { terminal: true })

      test('is controlled by the command, in front, with job control', async () => {
        const run = await started(['sh', '-mc', 'sleep 0.01 & fg; echo written > /dev/tty'], {
          terminal: true,
        })
        const end = await run.end
        expect(end).toMatchObject({ status: 0, stdout: 'sleep 0.01\r\nwritten\r\n' })
      })

      test('^C is for the command', async () => {
        const run = await onTerminal('trap "echo caught; exit 4" INT; echo up; read line')
        await run.printed('up')
        run.type('\x03')
        expect(await run.end).toMatchObject({ status: 4, lines: ['ready', 'exit 4'] })
      })

      test('^Z does not stop it, for nobody could continue it', async () => {
        const run = await onTerminal('echo up; read line; echo "got $line"; exit 6')
        await run.printed('up')
        run.type('\x1a')
        run.type('hello\n')
        expect((await run.end).status).toBe(6)
      })

      test('is closed when the command closes it: init does not hold it', async () => {
        const run = await onTerminal('exec <&- >&- 2>&-; exec sleep 60')
        await run.printedAll
        run.say('signal 9\n')
        expect((await run.end).status).toBe(128 + SIGKILL)
      })

      test('its making sends the command no SIGHUP', async () => {
        const run = await onTerminal(`trap "exit ${SIGHUP}" HUP; sleep 0.05; exit 8`)
        expect((await run.end).status).toBe(8)
      })
    })

    describe('noise', () => {
      test('2000 lines at the gate change nothing', async () => {
        const run = await started(['sleep', '60'])
        const next = randomBytes(42)
        for (let count = 0; count < 2_000; count++) run.say(noise(next, count))
        run.say('signal 15\n')
        expect(await run.end).toMatchObject({ status: 143, lines: ['ready', 'signaled 15'] })
      })

      test('nor does any of them open it', async () => {
        const next = randomBytes(7)
        for (let count = 0; count < 60; count++) {
          const run = await startInit(programs, ['echo', 'ran'])
          run.say(noise(next, count))
          expect(await run.end).toMatchObject({ status: 125, stdout: '', lines: [] })
        }
      })
    })
  },
)

async function untilState(run: InitRun, state: string): Promise<void> {
  const pid = run.commandPid()
  const stat = () => readFileSync(`/proc/${pid}/stat`, 'utf8')
  while (!stat().includes(`) ${state} `)) await new Promise(setImmediate)
}

/** A generator that is the same on every machine (numerical recipes' LCG). */
function randomBytes(seed: number): (length: number) => Buffer {
  let state = seed
  const nextByte = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 24
  return (length) => Buffer.from(Array.from({ length }, nextByte))
}

const NEARLY = [
  'signal 0',
  'signal 65',
  'signal -9',
  'signal +9',
  'signal 9x',
  'signal  9',
  ' signal 9',
  'signal',
  'signal ',
  'SIGNAL 9',
]
const HUGE = [
  'signal 99999999999999999999',
  'signal 4294967305',
  `signal ${'9'.repeat(20_000)}`,
  `${'x'.repeat(16_384)}signal 9`,
]

/** One line that is no order: random bytes, an order with a fault in it, or something huge. */
function noise(next: (length: number) => Buffer, count: number): Buffer {
  const wrong = [...NEARLY, ...HUGE, 'go 0022', 'go 0022 x', 'signal 9\0'][count % 50]
  const bytes = wrong === undefined ? next(1 + (count % 97)) : Buffer.from(wrong)
  return Buffer.concat([Buffer.from(bytes.filter((byte) => byte !== 10)), Buffer.from('\n')])
}
