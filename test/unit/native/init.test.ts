// The start and the end of a run: gate, umask, working directory, exec, exit status; what init keeps from its command.
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { spawnSync } from 'node:child_process'
import { constants } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { isReasonCode } from '../../../src/base/errors.js'
import { compilePrograms, endRuns, hasNamespaces, startInit } from './init-run.js'
import type { Programs, RunEnd, RunOptions } from './init-run.js'

const { ENOENT, ENOTDIR, EACCES, ENOEXEC, EISDIR } = constants.errno
const ELIBACC = 79

let programs: Programs

beforeAll(() => {
  programs = compilePrograms()
})
afterEach(endRuns)
afterAll(() => rmSync(programs.folder, { recursive: true, force: true }))

const shell = (script: string) => ['sh', '-c', script]

async function runWith(
  order: string | Buffer,
  command: string[],
  options?: RunOptions,
): Promise<RunEnd> {
  const run = await startInit(programs, command, options)
  run.say(order)
  return run.end
}

const runIt = (command: string[], options?: RunOptions) => runWith('go 0022 /\n', command, options)

function expectRefusal(end: RunEnd, code: string): void {
  const [, named = ''] = /^hepwrap: [^\n]+ \((HW_\w+)\)\n$/.exec(end.stderr) ?? []
  expect({ ...end, named }).toMatchObject({ status: 125, named: code, stdout: '', lines: [] })
  expect(isReasonCode(named)).toBe(true)
}

describe.skipIf(!hasNamespaces)('init (needs user namespaces for everybody)', () => {
  describe('before go', () => {
    test('no gate: runs nothing', async () => {
      expectRefusal(await runIt(shell('echo ran'), { gate: 'absent' }), 'HW_DAEMON_DOWN')
    })

    test('no command: refuses', async () => {
      expectRefusal(await runIt([]), 'HW_COMMAND_MISSING')
    })

    test('not PID 1: refuses, as its exit would not end the container', () => {
      const { status, stderr } = spawnSync(programs.init, ['true'], { encoding: 'utf8' })
      expect({ status, stderr }).toMatchObject({
        status: 125,
        stderr: expect.stringMatching(/^hepwrap: init runs only/) as string,
      })
    })

    test('enters what it is given, all of it and each but once, says so, and keeps none', async () => {
      const run = await startInit(
        programs,
        shell('ls /proc/self/fd /proc/1/fd 2>/dev/null | wc -l'),
      )
      const paths = Array.from({ length: 9 }, (_, index) => join(run.folder, `tasks-${index}`))
      const full = '/dev/full' // into which no process can be written
      const descriptors = [...paths, full].map((path) => openSync(path, 'w'))
      run.give('enter\n', descriptors)
      descriptors.forEach((fd) => closeSync(fd))
      await run.heard('entered')
      expect(paths.map((path) => readFileSync(path, 'utf8'))).toEqual(paths.map(() => '0'))
      run.say('enter\ngo 0022 /\n') // with nothing along, too
      const { lines, stdout } = await run.end
      expect(lines).toEqual(['entered', 'entered', 'ready', 'exit 0'])
      const plain = await runIt(shell('ls /proc/self/fd /proc/1/fd 2>/dev/null | wc -l'))
      expect(stdout).toBe(plain.stdout)
    })

    test.each(['', 'go 0022 /', 'go'])('the daemon leaves after %j: runs nothing', async (half) => {
      const run = await startInit(programs, shell('echo ran'))
      if (half !== '') run.say(half)
      run.leave()
      expectRefusal(await run.end, 'HW_DAEMON_LOST')
    })

    test.each([
      ...[
        '',
        'go',
        'go ',
        'go 022',
        'go 022 ',
        'GO 022 /',
        ' go 022 /',
        'go  022 /',
        'go\t022 /',
        'signal 15',
        'ready',
        'enter ',
        'entered',
      ],
      ...[
        'go 8 /',
        'go 01000 /',
        'go -1 /',
        'go +1 /',
        'go 0x1 /',
        'go 22a /',
        'go 99999999999999999999 /',
      ],
      ...[
        'go 022 relative',
        'go 022 %2Ftmp',
        'go 022 /a b',
        'go 022 /a\tb',
        'go 022 /\r',
        'go 022 /\x7f',
        'go 022 /é',
      ],
      ...[
        'go 022 /%',
        'go 022 /%4',
        'go 022 /%zz',
        'go 022 /%-1',
        'go 022 /%00',
        'go 022 /%20%00',
        'go 022 /\0',
      ],
      `go 022 /${'a'.repeat(40_000)}`,
      `${'a'.repeat(16_384)}go 022 /`, // the rest of an overlong line is no line
    ])('%j is not go: runs nothing', async (line) => {
      expectRefusal(await runWith(`${line}\n`, shell('echo ran')), 'HW_INTERNAL')
    })
  })

  describe('go', () => {
    test('sets umask and working directory', async () => {
      const run = await startInit(programs, shell('umask; /bin/pwd; : > made; stat -c %a made'))
      const name = 'two words, 100%\n\x01é'
      mkdirSync(join(run.folder, name))
      chmodSync(join(run.folder, name), 0o777)
      const escaped = Buffer.from(join(run.folder, name))
        .toString('hex')
        .replace(/../g, '%$&')
        .replace('%2f', '/')
      run.say(`go 0137 ${escaped}\n`)
      const end = await run.end
      expect(end).toMatchObject({
        status: 0,
        stdout: `0137\n${join(run.folder, name)}\n640\n`,
        stderr: '',
      })
    })

    test('comes in pieces, and the next order in the last of them', async () => {
      const run = await startInit(programs, ['sleep', '60'])
      for (const byte of 'go 0022 ') {
        run.say(byte)
        await new Promise(setImmediate)
      }
      run.say('/\nsignal 15\n')
      expect(await run.end).toMatchObject({ status: 143, lines: ['ready', 'signaled 15'] })
    })

    test('takes the longest path there is, each byte escaped', async () => {
      const end = await runWith(`go 0022 /${'%61'.repeat(4094)}\n`, ['true'])
      expect(end).toMatchObject({ status: 126, lines: [`chdir ${constants.errno.ENAMETOOLONG}`] })
    })

    test.each([
      ['absent', ENOENT, () => undefined],
      ['a file', ENOTDIR, (path: string) => writeFileSync(path, '')],
      ['closed to the user', EACCES, (path: string) => mkdirSync(path, { mode: 0 })],
    ])('a working directory that is %s: 126', async (_case, errno, make) => {
      const run = await startInit(programs, shell('echo ran'))
      make(join(run.folder, 'workdir'))
      run.say(`go 0022 ${join(run.folder, 'workdir')}\n`)
      expect(await run.end).toEqual({
        status: 126,
        stdout: '',
        stderr: '',
        lines: [`chdir ${errno}`],
      })
    })
  })

  describe('the end', () => {
    test.each([0, 1, 37, 125, 126, 127, 128, 255])('status %i is passed on', async (status) => {
      const end = await runIt(shell(`exit ${status}`))
      expect(end).toEqual({ status, stdout: '', stderr: '', lines: ['ready', `exit ${status}`] })
    })

    test('comes with the command, and to all it left behind', async () => {
      // `end` waits for the pipe that the orphan holds open
      expect(await runIt(shell('trap "" HUP TERM; sleep 1000 & echo out'))).toMatchObject({
        status: 0,
        stdout: 'out\n',
      })
    })

    test('orphans are reaped meanwhile', async () => {
      const script = `for i in 1 2 3 4 5 6 7 8 9; do (sleep 0.05 & sleep 0.01 &); done
        while cat /proc/[0-9]*/stat 2>&1 | grep -q '[(]sleep[)]'; do :; done; echo none`
      expect((await runIt(shell(script))).stdout).toBe('none\n')
    })
  })

  describe('exec', () => {
    test.each([
      ['no such name', 'hepwrap-none', ENOENT, 127],
      ['no name', '', ENOENT, 127],
      ['no such path', '/hepwrap/none', ENOENT, 127],
      ['a path through a file', '/etc/passwd/none', ENOTDIR, 127],
      ['a directory', '/etc', EISDIR, 126],
      ['a file without x', '/etc/passwd', EACCES, 126],
      ['a name only in closed and relative directories', 'hidden', ENOENT, 127],
      ['a name of a directory', 'folder', ENOENT, 127],
      ['a name of a file without x', 'plain', EACCES, 126],
      ['neither a program nor a script', 'text', ENOEXEC, 126],
      ['a script without its interpreter', 'orphan', ELIBACC, 126],
    ])('%s: %j gives errno %i, status %i', async (_case, name, errno, status) => {
      const path = makeCommands(join(programs.folder, 'exec'))
      const end = await runIt([name], { env: { PATH: `:.:${path}/closed:relative:${path}:` } })
      expect(end).toEqual({ status, stdout: '', stderr: '', lines: [`exec ${errno}`] })
    })

    test('finds the first that is executable, with arguments and environment untouched', async () => {
      const path = makeCommands(join(programs.folder, 'exec'))
      const end = await runIt(['plain', 'a b', '', '*'], {
        env: { PATH: `${path}:${path}/second`, EMPTY: '' },
      })
      expect(end).toMatchObject({ status: 0, stdout: '<a b><><*><>' })
    })

    test('without PATH searches the usual places', async () => {
      expect(await runIt(shell('exit 3'), { env: {} })).toMatchObject({ status: 3 })
    })
  })

  describe('keeps from its command', () => {
    test('its own descriptors and memory, though the uid is the same', async () => {
      const end = await runIt(
        shell(
          'id -u; ls /proc/1/fd; for f in mem environ; do (: < /proc/1/$f); done; : < /proc/self/mem && echo mine',
        ),
      )
      expect(end.stdout).toBe('1000\nmine\n')
      expect(end.stderr.match(/Permission denied/g)).toHaveLength(3)
    })

    test('what the engine leaked, and the gate', async () => {
      const leakedFd = openSync('/etc', 'r')
      const end = await runIt(['ls', '/proc/self/fd'], { leakedFd })
      closeSync(leakedFd)
      expect(end.stdout).toBe('0\n1\n2\n3\n') // 3 is the directory that ls reads
    })
  })

  describe('probes of doctor', () => {
    test('memory: touches it', async () => {
      expect(await runIt([programs.init, 'probe-memory', '50000000'])).toMatchObject({
        status: 0,
        stdout: '',
        stderr: '',
      })
    })

    test('memory: a limit binds', async () => {
      const end = await runIt(shell(`ulimit -v 20000; exec ${programs.init} probe-memory 50000000`))
      expect(end).toMatchObject({ status: 125 })
    })

    test('cpu: says what two processors gave', async () => {
      const end = await runIt([programs.init, 'probe-cpu', '100'])
      expect(end).toMatchObject({ status: 0, stderr: '' })
      expect(Number(end.stdout)).toBeGreaterThan(5_000)
      expect(Number(end.stdout)).toBeLessThan(250_000)
    })

    test.each([
      [[]],
      [['probe-memory']],
      [['probe-memory', '-1']],
      [['probe-cpu', '60001']],
      [['probe-forks', '65']],
      [['probe-forks', '0']],
      [['probe-pids', '1025']],
    ])('%j: refuses', async (args) => {
      expect(await runIt([programs.init, ...args])).toMatchObject({ status: 125, stdout: '' })
    })
  })
})

function makeCommands(folder: string): string {
  if (existsSync(folder)) return folder
  for (const name of ['', 'closed', 'folder', 'second']) mkdirSync(join(folder, name))
  const file = (name: string, text: string, mode: number) =>
    writeFileSync(join(folder, name), text, { mode })
  file('plain', '#!/bin/sh\n', 0o644)
  file('second/plain', `#!/bin/sh\nexec /usr/bin/printf '<%s>' "$@" "$EMPTY"\n`, 0o755)
  file('text', 'echo by a shell\n', 0o755)
  file('orphan', '#!/hepwrap/none\n', 0o755)
  chmodSync(join(folder, 'closed'), 0) // execve(2) says EACCES for any name in it
  return folder
}
