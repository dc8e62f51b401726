// Every way for a run to end: the state, the reason and the exit status, each by its own row.
import { constants } from 'node:os'
import { describe, expect, it } from 'vitest'
import { REASONS, type ReasonCode } from '../../../src/base/errors.js'
import type { InitReport } from '../../../src/run/gate.js'
import type { Ending } from '../../../src/run/live-runs.js'
import { outcomeOf, withOwnOomKills, type EndFacts } from '../../../src/run/outcome.js'

const { ENOENT, ENOTDIR, EACCES, ENOEXEC } = constants.errno

const exited = (status: number): InitReport => ({ kind: 'exited', status })
const signaled = (signal: number): InitReport => ({ kind: 'signaled', signal })
const killed: InitReport = { kind: 'killed' }
const failed = (step: 'exec' | 'chdir', errno: number): InitReport => ({
  kind: 'failed',
  step,
  errno,
})
const by = (code: ReasonCode, signal?: number): Ending => ({
  code,
  message: `because of ${code}`,
  graceMs: 0,
  ...(signal === undefined ? {} : { signal }),
})

const facts = (fields: Partial<EndFacts>): EndFacts => ({
  report: exited(0),
  ending: undefined,
  oomKills: 0,
  wasSignaled: false,
  timeIsUp: false,
  program: 'prog',
  workdir: '/work',
  ...fields,
})

describe('the outcome', () => {
  it.each<[string, Partial<EndFacts>, string, string | null, number, number | null]>([
    // what happened, facts → state, reason, exit status, signal
    ['success', {}, 'COMPLETED', null, 0, null],
    ['success, counters unknown', { oomKills: undefined }, 'COMPLETED', null, 0, null],
    ['success after the time limit', { timeIsUp: true }, 'COMPLETED', null, 0, null],
    [
      'a status of its own after a time limit that was extended',
      { report: exited(3), timeIsUp: true },
      'FAILED',
      null,
      3,
      null,
    ],
    [
      'the time limit, handled',
      { report: exited(3), timeIsUp: true, wasSignaled: true },
      'TIMEOUT',
      'HW_TIME_LIMIT',
      3,
      null,
    ],
    [
      'the time limit, killed with its step',
      { report: killed, timeIsUp: true },
      'TIMEOUT',
      'HW_TIME_LIMIT',
      137,
      9,
    ],
    ['success though signalled', { wasSignaled: true }, 'COMPLETED', null, 0, null],
    ['a status of its own', { report: exited(37) }, 'FAILED', null, 37, null],
    ['status 255', { report: exited(255) }, 'FAILED', null, 255, null],
    ['status 125 of its own', { report: exited(125) }, 'FAILED', null, 125, null],
    ['status 137 of its own', { report: exited(137) }, 'FAILED', null, 137, null],
    ['a signal of its own', { report: signaled(11) }, 'FAILED', 'HW_SIGNALED', 139, 11],
    ['init killed from outside', { report: killed }, 'CANCELLED', 'HW_SIGNALED', 137, 9],
    [
      'the user’s TERM',
      { report: signaled(15), wasSignaled: true },
      'CANCELLED',
      'HW_SIGNALED',
      143,
      15,
    ],
    [
      'the user’s INT, handled',
      { report: exited(130), wasSignaled: true },
      'CANCELLED',
      null,
      130,
      null,
    ],
    [
      'out of memory, killed',
      { report: signaled(9), oomKills: 1 },
      'OUT_OF_MEMORY',
      'HW_OOM_KILLED',
      137,
      9,
    ],
    [
      'out of memory, survived',
      { report: exited(0), oomKills: 3 },
      'OUT_OF_MEMORY',
      'HW_OOM_KILLED',
      0,
      null,
    ],
    [
      'out of memory, init killed',
      { report: killed, oomKills: 1 },
      'OUT_OF_MEMORY',
      'HW_OOM_KILLED',
      137,
      9,
    ],
    [
      'out of memory, then stopped',
      { report: killed, oomKills: 1, ending: by('HW_STOPPED') },
      'OUT_OF_MEMORY',
      'HW_OOM_KILLED',
      137,
      9,
    ],
    [
      'the time limit',
      { report: signaled(15), timeIsUp: true, wasSignaled: true },
      'TIMEOUT',
      'HW_TIME_LIMIT',
      143,
      15,
    ],
    [
      'the time limit by the epilog',
      { report: killed, timeIsUp: true, ending: by('HW_JOB_CLEANED') },
      'TIMEOUT',
      'HW_TIME_LIMIT',
      137,
      9,
    ],
    [
      'the time limit, client first',
      { report: exited(0), timeIsUp: true, ending: by('HW_CLIENT_GONE') },
      'TIMEOUT',
      'HW_TIME_LIMIT',
      0,
      null,
    ],
    [
      'client gone',
      { report: signaled(15), ending: by('HW_CLIENT_GONE') },
      'CANCELLED',
      'HW_CLIENT_GONE',
      143,
      15,
    ],
    [
      'client gone, last word 0',
      { report: exited(0), ending: by('HW_CLIENT_GONE') },
      'CANCELLED',
      'HW_CLIENT_GONE',
      0,
      null,
    ],
    [
      'job cleaned',
      { report: killed, ending: by('HW_JOB_CLEANED') },
      'CANCELLED',
      'HW_JOB_CLEANED',
      137,
      9,
    ],
    [
      'hepwrap stop',
      { report: signaled(15), ending: by('HW_STOPPED') },
      'CANCELLED',
      'HW_STOPPED',
      143,
      15,
    ],
    [
      'signal before the command',
      { report: killed, ending: by('HW_SIGNALED', 15) },
      'CANCELLED',
      'HW_SIGNALED',
      137,
      9,
    ],
    [
      'daemon stopping',
      { report: signaled(15), ending: by('HW_DAEMON_STOPPING') },
      'NODE_FAIL',
      'HW_DAEMON_STOPPING',
      125,
      15,
    ],
    [
      'daemon restarted',
      { report: killed, ending: by('HW_DAEMON_RESTARTED') },
      'NODE_FAIL',
      'HW_DAEMON_RESTARTED',
      125,
      9,
    ],
    [
      'engine lost',
      { report: signaled(15), ending: by('HW_ENGINE_DOWN') },
      'FAILED',
      'HW_ENGINE_DOWN',
      125,
      15,
    ],
    [
      'no such command',
      { report: failed('exec', ENOENT) },
      'FAILED',
      'HW_COMMAND_NOT_FOUND',
      127,
      null,
    ],
    [
      'no such directory on the way',
      { report: failed('exec', ENOTDIR) },
      'FAILED',
      'HW_COMMAND_NOT_FOUND',
      127,
      null,
    ],
    [
      'not executable',
      { report: failed('exec', EACCES) },
      'FAILED',
      'HW_COMMAND_NOT_EXECUTABLE',
      126,
      null,
    ],
    [
      'for another machine',
      { report: failed('exec', ENOEXEC) },
      'FAILED',
      'HW_COMMAND_NOT_EXECUTABLE',
      126,
      null,
    ],
    ['no such workdir', { report: failed('chdir', ENOENT) }, 'FAILED', 'HW_WORKDIR', 126, null],
    [
      'no such command, client gone',
      { report: failed('exec', ENOENT), ending: by('HW_CLIENT_GONE') },
      'FAILED',
      'HW_COMMAND_NOT_FOUND',
      127,
      null,
    ],
  ])('%s', (_what, fields, state, reason, exit, signal) => {
    expect(outcomeOf(facts(fields))).toMatchObject({ state, reason, exit, signal })
  })

  it('says nothing where the command’s own status says it all', () => {
    for (const report of [exited(0), exited(1), signaled(9), killed])
      expect(outcomeOf(facts({ report })).message).toBeUndefined()
  })

  it('names what could not be executed, safe for a terminal', () => {
    const program = '\u001b[2Jno\nsuch'
    const { message } = outcomeOf(facts({ report: failed('exec', ENOENT), program }))
    expect(message).toBe('command "\\u001b[2Jno\\nsuch" is not in the image')
    const { message: denied } = outcomeOf(facts({ report: failed('exec', EACCES) }))
    expect(denied).toBe('command "prog" cannot be executed: permission denied')
  })

  it('names the working directory and why it cannot be entered', () => {
    const { message } = outcomeOf(facts({ report: failed('chdir', EACCES) }))
    expect(message).toBe(
      'cannot enter working directory "/work" in the container: permission denied',
    )
    expect(outcomeOf(facts({ report: failed('chdir', 199) })).message).toMatch(/error 199$/)
  })

  it('gives a message and a contract’s exit status for every reason to end', () => {
    for (const code of Object.keys(REASONS) as ReasonCode[]) {
      const { exit, message, state } = outcomeOf(facts({ report: killed, ending: by(code) }))
      expect(message).toBe(`because of ${code}`)
      expect(exit, code).toBe(state === 'CANCELLED' ? 137 : 125)
    }
  })
})

describe('OOM kills in a leaf that several runs share', () => {
  const none = {
    cpuUserUsec: undefined,
    cpuSystemUsec: undefined,
    memoryPeakBytes: undefined,
    ioReadBytes: undefined,
    ioWriteBytes: undefined,
    pidsPeak: undefined,
  }
  const kills = (report: InitReport, isAsked = false) =>
    withOwnOomKills({ ...none, oomKills: undefined, oomKillsOfSomebody: 3 }, report, isAsked)
      ?.oomKills

  it.each<[string, InitReport]>([
    ['whose PID 1 was killed', killed],
    ['whose command was killed', signaled(9)],
    ['whose shell says that its command was', exited(137)],
  ])('are one at least for a run %s, if nobody asked for that', (_, report) => {
    expect(kills(report)).toBe(1)
    expect(kills(report, true)).toBeUndefined()
  })

  it('are not known of others', () => {
    expect(kills(exited(0))).toBeUndefined()
    expect(kills(exited(1))).toBeUndefined()
    expect(kills(signaled(11))).toBeUndefined()
  })

  it('that are its own stay as they are', () => {
    expect(withOwnOomKills({ ...none, oomKills: 2 }, exited(0), false)?.oomKills).toBe(2)
    expect(withOwnOomKills({ ...none, oomKills: 0 }, signaled(9), false)?.oomKills).toBe(0)
    expect(withOwnOomKills(undefined, signaled(9), false)).toBeUndefined()
  })
})
