// The environment inside: what passes of the caller's, what the image and the options add, and what never does.
import { writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startDaemon, stopDaemons } from '../world/daemon.js'
import { expectSuccess } from '../world/world.js'
import { complaint, hepwrapRun, hepwrapRuns, records, type RunOptions } from './job-runs.js'

beforeAll(() => startDaemon())
afterAll(stopDaemons)

/** The container's environment, of a command that adds nothing to it. */
async function environmentOf(
  args: string[],
  options: RunOptions = {},
): Promise<Record<string, string>> {
  const run = [...args, 'debian:test', 'cat', '/proc/self/environ']
  const { stdout } = expectSuccess(await hepwrapRun('alice', run, options))
  const words = stdout.split('\0').filter(Boolean)
  return Object.fromEntries(
    words.map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]),
  )
}

const HOST = {
  LC_TIME: 'C',
  TZ: 'Europe/Zurich',
  TERM: 'xterm-256color',
  SCRATCH: '/scratch/alice',
  TMPDIR: '/tmp',
  OMPI_MCA_btl: 'self',
  PMIX_RANK: '0',
  PMI_SIZE: '1',
  SECRET_TOKEN: 'hunter2',
  LD_ANYTHING: '1',
  LD_LIBRARY_PATH: '/opt/lib',
  PYTHONPATH: '/opt/python',
}
const PASSING = 'LC_TIME TZ TERM SCRATCH TMPDIR OMPI_MCA_btl PMIX_RANK PMI_SIZE'

describe('by default', () => {
  it("passes the job's and the user's variables, and nothing else of the caller's", async () => {
    const env = await environmentOf([], { env: HOST, slurm: ['--gres=gpu:2'] })
    for (const name of PASSING.split(' ')) expect(env[name]).toBe(HOST[name as keyof typeof HOST])
    expect(env).toMatchObject({
      HOME: '/home/alice',
      USER: 'alice',
      LOGNAME: 'alice',
      LANG: 'C.UTF-8',
      CUDA_VISIBLE_DEVICES: '0,1', // set by Slurm
      SLURM_PROCID: '0',
      SLURM_JOB_NAME: 'hepwrap',
      SLURM_STEP_ID: '0',
    })
    expect(env['SLURM_JOB_ID']).toMatch(/^\d+$/)
    const stray = Object.keys(env).filter(
      (name) => !/^(SLURM_|PMI|OMPI_|LC_)/.test(name) && !(name in expectedNames),
    )
    expect(stray).toEqual([])
  })
  const expectedNames = Object.fromEntries(
    [
      ...PASSING.split(' '),
      'CUDA_VISIBLE_DEVICES',
      'GPU_DEVICE_ORDINAL',
      'HOME',
      'USER',
      'LOGNAME',
      'LANG',
      'PATH',
      'HOSTNAME',
    ].map((name) => [name, true]),
  )

  it("has the image's own variables, PATH above all", async () => {
    const env = await environmentOf([], { env: { PATH: '/usr/local/bin:/usr/bin:/bin:/opt/evil' } })
    expect(env['PATH']).toBe('/usr/local/bin:/usr/bin:/bin')
  })
})

describe('-e and --env', () => {
  it('set a variable, whatever is in its value', async () => {
    const values = {
      EMPTY: '',
      EQUALS: 'a=b=c',
      SPACES: '  two  words ',
      LINES: 'one\ntwo\n',
      QUOTES: `'"$HOME\`id\``,
      UNICODE: 'Zürich 東京 🜚',
      BACKSLASH: '\\n\\0',
      LONG: 'x'.repeat(100_000),
      'odd.name-1': 'odd',
    }
    const args = Object.entries(values).flatMap(([name, value]) => ['-e', `${name}=${value}`])
    expect(await environmentOf(args)).toMatchObject(values)
  })

  it('pass a variable on by its name alone, and leave out what the caller has not', async () => {
    const args = ['-e', 'SECRET_TOKEN', '--env', 'NOT_THERE', '--env=PYTHONPATH']
    const env = await environmentOf(args, { env: HOST })
    expect(env).toMatchObject({ SECRET_TOKEN: 'hunter2', PYTHONPATH: '/opt/python' })
    expect(env).not.toHaveProperty('NOT_THERE')
  })

  it("stand above the image's, the caller's and an --env-file's; the last of several counts", async () => {
    writeFileSync('/tmp/order.env', 'LANG=file\nTZ=file\n', { mode: 0o644 })
    const args = [
      '-e',
      'PATH=/bin',
      '-e',
      'TZ=first',
      '-e',
      'TZ=last',
      '--env-file',
      '/tmp/order.env',
    ]
    const env = await environmentOf(args, { env: HOST })
    expect(env).toMatchObject({ PATH: '/bin', TZ: 'last', LANG: 'file' })
  })

  it('may set what never passes by itself: it is his own container', async () => {
    expect(await environmentOf(['-e', 'LD_LIBRARY_PATH=/mine'])).toHaveProperty(
      'LD_LIBRARY_PATH',
      '/mine',
    )
  })

  it('refuse what is no variable', async () => {
    const runs = ['', '=value', '='].map((word) => ['-e', word, 'debian:test', 'true'])
    for (const result of await hepwrapRuns('alice', runs)) {
      expect(result.status).toBe(125)
      expect(complaint(result)).toContain('(HW_OPTION_INVALID)')
    }
  })
})

describe('--env-file', () => {
  it("reads docker's format: comments, empty lines, names alone, no quotes, no expansion", async () => {
    const text = [
      '# a comment',
      '',
      'PLAIN=value',
      'HASH=a # b',
      'QUOTED="quoted"',
      'EXPAND=$HOME',
      'EMPTY=',
      'SECRET_TOKEN',
      'NOT_THERE',
      '  INDENTED=yes',
      'WINDOWS=crlf\r',
      'LAST=no newline',
    ].join('\n')
    writeFileSync('/tmp/plain.env', text, { mode: 0o644 })
    const env = await environmentOf(['--env-file', '/tmp/plain.env'], { env: HOST })
    expect(env).toMatchObject({
      PLAIN: 'value',
      HASH: 'a # b',
      QUOTED: '"quoted"',
      EXPAND: '$HOME',
      EMPTY: '',
      SECRET_TOKEN: 'hunter2',
      INDENTED: 'yes',
      WINDOWS: 'crlf',
      LAST: 'no newline',
    })
    expect(env).not.toHaveProperty('NOT_THERE')
  })

  it('is read as the user: a file that he may not read is refused, and so is one that is not there', async () => {
    writeFileSync('/tmp/root.env', 'ROOT=1\n', { mode: 0o600 })
    const paths = ['/tmp/root.env', '/tmp/absent.env', '/tmp', '/etc/shadow']
    const runs = paths.map((path) => ['--env-file', path, 'debian:test', 'env'])
    for (const [index, result] of (await hepwrapRuns('alice', runs)).entries()) {
      expect(result).toMatchObject({ status: 125, stdout: '' })
      expect(complaint(result)).toContain(`"${paths[index]!}"`)
      expect(complaint(result)).toContain('(HW_OPTION_INVALID)')
    }
  })

  it("is read by hepwrap alone: node does not take it for its own option, nor a command's", async () => {
    writeFileSync('/tmp/node.env', 'HEPWRAP_SOCKET=/nowhere\nTZ="quoted"\n', { mode: 0o644 })
    expect(await environmentOf(['--env-file', '/tmp/node.env'])).toMatchObject({ TZ: '"quoted"' })
    const echo = [
      'busybox:test',
      'echo',
      '--env-file',
      '/tmp/absent.env',
      '--env-file=/tmp/node.env',
    ]
    const { status, stdout } = await hepwrapRun('alice', echo)
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout: '--env-file /tmp/absent.env --env-file=/tmp/node.env\n',
    })
  })

  it('is refused by line where it is malformed', async () => {
    writeFileSync('/tmp/bad.env', 'GOOD=1\nBAD NAME=1\n', { mode: 0o644 })
    const result = await hepwrapRun('alice', ['--env-file', '/tmp/bad.env', 'debian:test', 'env'])
    expect(result.status).toBe(125)
    expect(complaint(result)).toContain('/tmp/bad.env:2')
  })
})

describe('--host-env', () => {
  it('passes the whole environment but PATH and LD_*', async () => {
    const env = await environmentOf(['--host-env'], {
      env: { ...HOST, PATH: '/usr/local/bin:/usr/bin:/bin:/opt/x' },
    })
    expect(env).toMatchObject({
      SECRET_TOKEN: 'hunter2',
      PYTHONPATH: '/opt/python',
      SHELL: '/bin/bash',
    })
    expect(env['PATH']).toBe('/usr/local/bin:/usr/bin:/bin')
    expect(Object.keys(env).filter((name) => name.startsWith('LD_'))).toEqual([])
  })
})

describe('an environment that is too large', () => {
  it('is refused by name and size: one value, all of it, and 10 MB in a file', async () => {
    const one = await hepwrapRun('alice', ['--host-env', 'debian:test', 'true'], {
      env: Object.fromEntries(
        Array.from({ length: 12 }, (_, n) => [`BIG_${n}`, 'x'.repeat(100_000)]),
      ),
    })
    expect(one.status).toBe(125)
    expect(complaint(one)).toMatch(/environment has \d{7} bytes.*\(HW_ENV_TOO_LARGE\)$/)

    writeFileSync('/tmp/value.env', `HUGE=${'x'.repeat(200_000)}\n`, { mode: 0o644 })
    const value = await hepwrapRun('alice', ['--env-file', '/tmp/value.env', 'debian:test', 'true'])
    expect(value.status).toBe(125)
    expect(complaint(value)).toMatch(/"HUGE" has 2000\d\d bytes.*\(HW_ENV_TOO_LARGE\)$/)

    const lines = Array.from({ length: 100 }, (_, n) => `V${n}=${'x'.repeat(100_000)}`)
    writeFileSync('/tmp/huge.env', lines.join('\n'), { mode: 0o644 })
    const huge = await hepwrapRun('alice', ['--env-file', '/tmp/huge.env', 'debian:test', 'true'])
    expect(huge.status).toBe(125)
    expect(complaint(huge)).toMatch(/\(HW_(ENV|REQUEST)_TOO_LARGE\)$/)
    const kept = (await records('alice')).slice(-3)
    expect(kept.map(({ state, reason }) => [state, reason?.replace(/ENV|REQUEST/, '')])).toEqual(
      Array(3).fill(['REFUSED', 'HW__TOO_LARGE']),
    )
  })
})
