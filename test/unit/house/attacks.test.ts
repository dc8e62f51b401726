// The attack suite as a table: every row is named, numbered once and says where it is from. docs/attacks.md shows it.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { expect, it } from 'vitest'
import { nodesOf, root } from './source-files.js'

const suite = join(root, 'test/attack')

interface Row {
  readonly file: string
  readonly id: string
  readonly source: string
  readonly title: string
}

/** attack('P01', 'own', 'title', …): three plain texts, so that the table can be read without running anything. */
function rowsOf(file: string): Row[] {
  const text = readFileSync(join(suite, file), 'utf8')
  const ast = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  return [...nodesOf(ast)].flatMap((node) => {
    if (!ts.isCallExpression(node) || node.expression.getText() !== 'attack') return []
    const [id = '', source = '', title = ''] = node.arguments
      .slice(0, 3)
      .map((argument) => (ts.isStringLiteralLike(argument) ? argument.text : ''))
    return [{ file, id, source, title }]
  })
}

const rows = readdirSync(suite)
  .filter((name) => name.endsWith('.test.ts'))
  .sort()
  .flatMap(rowsOf)

const cell = (text: string) => text.replaceAll('|', '\\|')

it('is written in plain texts, with an id that is used once', () => {
  expect(
    rows.filter(({ id, source, title }) => !/^[A-Z]\d\d$/.test(id) || !source || !title),
  ).toEqual([])
  expect(new Set(rows.map(({ id }) => id)).size).toBe(rows.length)
})

it('stands in docs/attacks.md', async () => {
  const table = rows.map(
    ({ id, source, title, file }) => `| ${id} | ${cell(title)} | ${cell(source)} | ${file} |`,
  )
  const text = [
    '# What was tried',
    '',
    'Each row is a real attempt by an unprivileged user in a Slurm job (G: by a user or a node on the aggregator), run by `npm run test:attack` (and by `npm test`).',
    'What must hold is asserted outside of the container. Written by `npx vitest run --project unit test/unit/house -u`.',
    '',
    '| id | attack | source | test/attack/ |',
    '| --- | --- | --- | --- |',
    ...table,
    '',
    `${rows.length} attacks.`,
    '',
  ].join('\n')
  await expect(text).toMatchFileSnapshot(join(root, 'docs/attacks.md'))
})
