// Prolog and epilog as Slurm starts them: no PATH, no environment but Slurm's, and nothing may hang or drain the node.
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hepwrap-prolog-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const PROLOG = resolve('prolog/hepwrap-prolog')
const EPILOG = resolve('epilog/hepwrap-epilog')

/** A client that does as the text says. */
function standIn(text: string): string {
  const path = join(directory, 'hepwrap')
  writeFileSync(path, `#!/bin/sh\n${text}\n`)
  chmodSync(path, 0o755)
  return path
}

function start(script: string, client: string | undefined) {
  const { status, stdout, stderr } = spawnSync(script, [], {
    env: { SLURM_JOB_ID: '42', ...(client !== undefined && { HEPWRAP_BIN: client }) },
    encoding: 'utf8',
  })
  return { status, stdout, stderr }
}

/** The script with a shorter limit, elsewhere. */
function hurried(script: string): string {
  const path = join(directory, 'script')
  writeFileSync(
    path,
    readFileSync(script, 'utf8')
      .replace(/^limit_seconds=\d+$/m, 'limit_seconds=0.3')
      .replace(/-k \d+/, '-k 0.3'),
  )
  chmodSync(path, 0o755)
  return path
}

describe.each([
  ['prolog', PROLOG, 'configure'],
  ['epilog', EPILOG, 'clean'],
])('the %s', (name, script, verb) => {
  it('asks the client once, with Slurm’s variables and an empty stdin, and is silent', () => {
    const log = join(directory, 'log')
    const client = standIn(`echo "$* $SLURM_JOB_ID $(cat)" >> ${log}`)
    expect(start(script, client)).toEqual({ status: 0, stdout: '', stderr: '' })
    expect(readFileSync(log, 'utf8')).toBe(`${verb} 42 \n`)
  })

  it.each([
    ['refuses', 'echo "hepwrap: no (HW_ROOT_ONLY)" >&2; exit 1'],
    ['crashes', 'kill -SEGV $$'],
    ['breaks like a program that does not load', 'echo "SyntaxError: alive x" >&2; exit 1'],
  ])('ends with 0 where the client %s, and says why', (_, text) => {
    const { status, stdout, stderr } = start(script, standIn(text))
    expect({ status, stdout }).toEqual({ status: 0, stdout: '' })
    expect(stderr).toMatch(new RegExp(`^hepwrap-${name}: job 42 not (announced|cleaned): .`, 'm'))
  })

  it('does not wait for a client that hangs', () => {
    const client = standIn('trap "" TERM; while :; do sleep 1; done')
    const began = performance.now()
    const { status } = start(hurried(script), client)
    expect(status).toBe(0)
    expect(performance.now() - began).toBeLessThan(5000)
  }, 15_000)

  it('finds the client of its own tree, also by a symlink', () => {
    mkdirSync(join(directory, 'tree/dist/bin'), { recursive: true })
    mkdirSync(join(directory, 'tree/prolog'))
    writeFileSync(
      join(directory, 'tree/dist/bin/hepwrap.cjs'),
      `require('fs').writeFileSync(${JSON.stringify(join(directory, 'ran'))}, process.argv.slice(2).join())`,
    )
    const copy = join(directory, 'tree/prolog/script')
    // The client of the machine, if there is one, stays out of it; node is where this one is.
    writeFileSync(
      copy,
      readFileSync(script, 'utf8')
        .replace(' /usr/bin/hepwrap /usr/local/bin/hepwrap', '')
        .replace('/usr/bin/node /usr/local/bin/node', `/nonexistent/node ${process.execPath}`),
    )
    chmodSync(copy, 0o755)
    symlinkSync(copy, join(directory, 'link'))
    expect(start(join(directory, 'link'), undefined)).toMatchObject({ status: 0, stderr: '' })
    expect(readFileSync(join(directory, 'ran'), 'utf8')).toBe(verb)
  })

  it('says that there is no client, and ends with 0', () => {
    const copy = join(directory, 'script')
    writeFileSync(
      copy,
      readFileSync(script, 'utf8').replace(' /usr/bin/hepwrap /usr/local/bin/hepwrap', ''),
    )
    chmodSync(copy, 0o755)
    const { status, stderr } = start(copy, '/nonexistent/hepwrap')
    expect(status).toBe(0)
    expect(stderr).toContain('the hepwrap client is not found: set HEPWRAP_BIN')
  })

  it('names no Slurm command', () => {
    const code = readFileSync(script, 'utf8').replace(/^#.*$/gm, '')
    expect(code).not.toMatch(/\b(scontrol|squeue|sacct|scancel|srun|sinfo)\b/)
  })
})

describe('the epilog', () => {
  it('ends with 1 where the daemon says that a container is still alive', () => {
    const client = standIn(
      'echo "alive 0123456789ab"; echo "hepwrap: still alive (HW_X)" >&2; exit 1',
    )
    const { status, stderr } = start(EPILOG, client)
    expect(status).toBe(1)
    expect(stderr).toContain('alive 0123456789ab')
  })

  it('ends with 0 where the word comes with another status', () => {
    expect(start(EPILOG, standIn('echo "alive 0123456789ab"; exit 2')).status).toBe(0)
    expect(start(EPILOG, standIn('echo "alive 0123456789ab"; exit 0')).status).toBe(0)
  })
})
