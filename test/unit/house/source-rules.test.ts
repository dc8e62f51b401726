// Rules about the source that neither the compiler nor the linter holds.
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'
import { CHECKS } from '../../../src/policy/policy.js'
import { nodesOf, root, sourceFiles, sourcePaths } from './source-files.js'

const MAX_LINES = 250
const MAX_BIN_LINES = 25
const FORBIDDEN_WORDS =
  /^(?:managers?|services?|helpers?|utils?|utilit(?:y|ies)|common|data|info|do)$/i

const wordsOf = (name: string) =>
  name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1 $2')
    .split(/[^A-Za-z0-9]+/)

/** Words of the kernel's own. */
const THEIR_NAMES = new Set(['mount-info'])

const forbiddenIn = (name: string) =>
  THEIR_NAMES.has(name) ? [] : wordsOf(name).filter((word) => FORBIDDEN_WORDS.test(word))

/** Lines that are neither blank nor comment, as max-lines of eslint.config.js counts. */
function codeLines(ast: ts.SourceFile): number {
  const lines = new Set<number>()
  for (const node of nodesOf(ast)) {
    if (node.getChildCount() > 0 || node.getWidth() === 0) continue
    const first = ast.getLineAndCharacterOfPosition(node.getStart()).line
    const last = ast.getLineAndCharacterOfPosition(node.getEnd()).line
    for (let line = first; line <= last; line++) lines.add(line)
  }
  return lines.size
}

const namesWhere = (isBad: (file: (typeof sourceFiles)[number]) => boolean) =>
  sourceFiles.filter(isBad).map(({ path }) => path)

describe('names', () => {
  it('have no forbidden word, and say what a file is about', () => {
    const inFiles = sourcePaths.filter(
      (path) => forbiddenIn(basename(path).replace(/\..*$/, '')).length > 0,
    )
    const inExports = sourceFiles.flatMap(({ path, exportedNames }) =>
      exportedNames
        .filter((name) => forbiddenIn(name).length > 0)
        .map((name) => `${path}: ${name}`),
    )
    expect([...inFiles, ...inExports]).toEqual([])
  })

  it.each(['getData', 'userInfo', 'run-utils', 'doIt', 'JobManager', 'HTTPService', 'helper'])(
    'the rule itself sees %s',
    (name) => expect(forbiddenIn(name)).not.toEqual([]),
  )

  it.each(['domain', 'metadata', 'information', 'redo', 'document'])(
    'the rule itself leaves %s alone',
    (name) => expect(forbiddenIn(name)).toEqual([]),
  )

  it('are named exports, and no index.ts collects them', () => {
    expect(sourcePaths.filter((path) => /^index\./.test(basename(path)))).toEqual([])
    const withDefault = namesWhere(({ ast }) =>
      [...nodesOf(ast)].some(
        (node) => ts.isExportAssignment(node) || node.kind === ts.SyntaxKind.DefaultKeyword,
      ),
    )
    expect(withDefault.filter((path) => hasDefaultExport(path))).toEqual([])
  })
})

/** `default:` of a switch is the same keyword. */
function hasDefaultExport(path: string): boolean {
  const file = sourceFiles.find((one) => one.path === path)
  return /^export default|as default\b/m.test(file?.text ?? '')
}

describe('files', () => {
  it(`have at most ${MAX_LINES} lines of code`, () => {
    const long = sourceFiles
      .map(({ path, ast }) => ({ path, lines: codeLines(ast) }))
      .filter(({ lines }) => lines > MAX_LINES)
    expect(long).toEqual([])
  })

  it(`of bin/ have at most ${MAX_BIN_LINES} lines`, () => {
    const long = sourceFiles.filter(
      ({ room, text }) => room === 'bin' && text.trimEnd().split('\n').length > MAX_BIN_LINES,
    )
    expect(long.map(({ path }) => path)).toEqual([])
  })

  it('begin with a comment that says what they own', () => {
    const sources = sourcePaths
      .filter((path) => /\.(?:ts|c|h)$/.test(path))
      .filter((path) => {
        const text = readFileSync(join(root, 'src', path), 'utf8').replace(/^#![^\n]*\n/, '')
        return !/^(?:\/\/ \S|\/\*)/.test(text)
      })
    expect(sources).toEqual([])
  })
})

describe('code', () => {
  it('reads the environment in config/ and cli/ only', () => {
    const readers = sourceFiles
      .filter(({ room }) => room !== 'config' && room !== 'cli')
      .filter(({ text }) =>
        /process\s*\.\s*env\b|process\s*\[|\{[^}]*\benv\b[^}]*\} = process/.test(text),
      )
    expect(readers.map(({ path }) => path)).toEqual([])
  })

  it('has no any and silences no compiler', () => {
    const lax = namesWhere(
      ({ ast, text }) =>
        /@ts-(?:ignore|nocheck|expect-error)/.test(text) ||
        [...nodesOf(ast)].some((node) => node.kind === ts.SyntaxKind.AnyKeyword),
    )
    expect(lax).toEqual([])
  })

  it('leaves nothing for later', () => {
    const words = /\b(?:TODO|FIXME|XXX|HACK)\b/
    const left = sourcePaths.filter(
      (path) =>
        /\.(?:ts|c|h)$/.test(path) && words.test(readFileSync(join(root, 'src', path), 'utf8')),
    )
    expect(left).toEqual([])
  })

  it('turns nothing off for a whole file', () => {
    expect(namesWhere(({ text }) => /\/\*\s*eslint-disable/.test(text))).toEqual([])
  })

  it('gives every eslint exception a reason', () => {
    const bare = sourceFiles.flatMap(({ path, text }) =>
      text
        .split('\n')
        .filter((line) => /eslint-disable/.test(line) && !/ -- \S/.test(line))
        .map((line) => `${path}: ${line.trim()}`),
    )
    expect(bare).toEqual([])
  })
})

describe('policy', () => {
  it('runs every check that there is', async () => {
    const files = sourcePaths.filter((path) => /^policy\/checks\/.*\.ts$/.test(path))
    expect(files.length).toBeGreaterThan(0)
    for (const path of files) {
      const loaded = (await import(join(root, 'src', path))) as Record<string, unknown>
      const checks = Object.entries(loaded).filter(([name]) => name.startsWith('check'))
      expect(checks, path).not.toEqual([])
      for (const [name, check] of checks) expect(CHECKS, `${path}: ${name}`).toContain(check)
    }
    expect(new Set(CHECKS).size).toBe(CHECKS.length)
  })
})
