// Every acceptance case that is due has a test of its number: "ACCEPTANCE 20: streams are complete …".
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'

const root = join(import.meta.dirname, '../../..')
const CASES = 36

const suites = ['integration', 'slurm', 'e2e'].flatMap((suite) =>
  readdirSync(join(root, 'test', suite), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.ts'))
    .map((path) => readFileSync(join(root, 'test', suite, path), 'utf8')),
)

const named = new Set(
  suites
    .flatMap((text) => [...text.matchAll(/ACCEPTANCE ([0-9]+(?:(?:, | and )[0-9]+)*)/g)])
    .flatMap(([, numbers = '']) => numbers.split(/, | and /).map(Number)),
)

it('names each case', () => {
  const due = Array.from({ length: CASES }, (_, index) => index + 1)
  expect(due.filter((number) => !named.has(number))).toEqual([])
})
