// The client as users start it: the sources made JavaScript, without waiting for rooms that it does not use.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('../../../..', import.meta.url))

export interface BuiltClient {
  /** dist/bin/hepwrap.js of this build. */
  readonly path: string
  /** Relative to src: all that the client can ever load. */
  readonly sources: readonly string[]
  remove(): void
}

export function buildClient(): BuiltClient {
  const cache = join(ROOT, '.cache')
  mkdirSync(cache, { recursive: true })
  const built = mkdtempSync(join(cache, 'client-'))
  writeFileSync(join(built, 'package.json'), JSON.stringify({ type: 'module', version: '9.8.7' }))
  const sources = new Set(['bin/hepwrap.ts'])
  for (const name of sources) {
    const target = join(built, 'dist', name.replace(/\.ts$/, '.js'))
    const script = transpile(readFileSync(join(ROOT, 'src', name), 'utf8'))
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, script)
    for (const imported of importsOf(script)) sources.add(join(dirname(name), imported))
  }
  return {
    path: join(built, 'dist/bin/hepwrap.js'),
    sources: [...sources],
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

/** Relative ones, static and dynamic. */
const importsOf = (script: string): string[] =>
  [...script.matchAll(/(?:from|import)\s*\(?\s*['"](\.[^'"]+)\.js['"]/g)].map(
    (match) => `${match[1] ?? ''}.ts`,
  )
