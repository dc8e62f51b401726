// The client as users start it: the sources made JavaScript, without waiting for rooms that it does not use.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('../../../..', import.meta.url))
// No more than these: a test holds that the client needs nothing else.
const ROOMS = ['bin/hepwrap.ts', 'base/errors.ts', 'base/clock.ts', 'base/ids.ts', 'wire/frames.ts']

export interface BuiltClient {
  /** dist/bin/hepwrap.js of this build. */
  readonly path: string
  remove(): void
}

export function buildClient(): BuiltClient {
  const cache = join(ROOT, '.cache')
  mkdirSync(cache, { recursive: true })
  const built = mkdtempSync(join(cache, 'client-'))
  const cli = readdirSync(join(ROOT, 'src/cli')).map((name) => `cli/${name}`)
  writeFileSync(join(built, 'package.json'), JSON.stringify({ type: 'module', version: '9.8.7' }))
  for (const name of [...ROOMS, ...cli]) {
    const target = join(built, 'dist', name.replace(/\.ts$/, '.js'))
    mkdirSync(join(target, '..'), { recursive: true })
    writeFileSync(target, transpile(readFileSync(join(ROOT, 'src', name), 'utf8')))
  }
  return {
    path: join(built, 'dist/bin/hepwrap.js'),
    remove: () => rmSync(built, { recursive: true, force: true }),
  }
}

const transpile = (source: string): string =>
  ts.transpileModule(source, {
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      removeComments: true,
    },
  }).outputText
