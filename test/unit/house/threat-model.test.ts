// docs/threat-model.md points to tests: each threat to some, each pointer to one that is there, each attack from somewhere.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { root } from './source-files.js'

const text = readFileSync(join(root, 'docs/threat-model.md'), 'utf8')
const attacks = readFileSync(join(root, 'docs/attacks.md'), 'utf8')
const ids = [...attacks.matchAll(/^\| ([A-Z]\d\d) \|/gm)].map(([, id = '']) => id)

/** The rows of "What an attacker may try": threat, defence, tests. */
const threats = (text.split('## What an attacker may try')[1]?.split('\n## ')[0] ?? '')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| threat') && !/^\| -/.test(line))
  .map((line) => line.split('|').map((cell) => cell.trim()))

/** "P01-P03" → P01, P02, P03, as far as they are there. */
function idsOf(cell: string): readonly string[] {
  return [...cell.matchAll(/\b([A-Z])(\d\d)(?:-\1(\d\d))?\b/g)].flatMap(([, family, first, last]) =>
    ids.filter((id) => {
      const number = Number(id.slice(1))
      return (
        id.startsWith(family ?? '') && number >= Number(first) && number <= Number(last ?? first)
      )
    }),
  )
}

it('says of each threat which tests hold it', () => {
  expect(threats.length).toBeGreaterThan(20)
  const unheld = threats.filter(
    ([, , , held = '']) => idsOf(held).length === 0 && !/test\/\S+\.test\.ts/.test(held),
  )
  expect(unheld).toEqual([])
})

it('points to files that are there', () => {
  const paths = [...text.matchAll(/test\/[\w/.-]+\.test\.ts/g)].map(([path]) => path)
  expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([])
})

it('has a place for every attack', () => {
  const placed = new Set(threats.flatMap(([, , , held = '']) => idsOf(held)))
  expect(ids.filter((id) => !placed.has(id))).toEqual([])
})

it('names no range of attacks of which none is there', () => {
  const ranges = [...text.matchAll(/\b[A-Z]\d\d(?:-[A-Z]\d\d)?\b/g)].map(([range]) => range)
  expect(ranges.filter((range) => idsOf(range).length === 0)).toEqual([])
})
