// Programs of their own that hold a ledger, so that a test can kill them: the product's sources, stripped of their types.
import { spawn, type ChildProcess } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import ts from 'typescript'

const root = join(import.meta.dirname, '../../..')
const ROOMS = ['base', 'wire', 'config', 'trust', 'upstream', 'accounting']

/** A directory with the rooms as JavaScript, in which programs may import "./accounting/ledger.js". The caller removes it. */
export function buildRooms(): string {
  const directory = mkdtempSync(join(tmpdir(), 'hepwrap-rooms-'))
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}')
  for (const room of ROOMS) {
    mkdirSync(join(directory, room))
    for (const name of readdirSync(join(root, 'src', room))) {
      const { outputText } = ts.transpileModule(
        readFileSync(join(root, 'src', room, name), 'utf8'),
        {
          compilerOptions: {
            module: ts.ModuleKind.ESNext,
            target: ts.ScriptTarget.ES2022,
            verbatimModuleSyntax: true,
          },
        },
      )
      writeFileSync(join(directory, room, name.replace(/\.ts$/, '.js')), outputText)
    }
  }
  return directory
}

export interface Program {
  readonly child: ChildProcess
  readonly lines: () => readonly string[]
  /** Resolves when the program has ended and all of its output is read. */
  readonly ended: Promise<void>
  /** Resolves with the first line. */
  readonly speaks: Promise<string>
}

/** Runs this text as a module in `rooms`. */
export function startProgram(rooms: string, text: string, ...args: readonly string[]): Program {
  const child = spawn(process.execPath, ['--input-type=module', '-e', text, ...args], {
    cwd: rooms,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()))
  const speaks = new Promise<string>((resolve, reject) => {
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      const [first, ...rest] = output.split('\n')
      if (rest.length > 0) resolve(first ?? '')
    })
    void ended.then(() => reject(new Error('the program ended without a word')))
  })
  speaks.catch(() => undefined)
  // What stands behind the last line's end was never said: the program died in the middle of it.
  return { child, lines: () => output.split('\n').slice(0, -1), ended, speaks }
}
