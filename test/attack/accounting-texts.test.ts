// What a user writes into his records comes out as text: in every format one record, every column its own, and in the daemon's
// log one object a line.
import { statSync } from 'node:fs'
import { expect } from 'vitest'
import { RECORD_FIELDS } from '../../src/wire/record-fields.js'
import { hepwrap, hepwrapRun, hepwrapRuns, records } from '../slurm/job-runs.js'
import { bareRequest, runBytes } from '../slurm/raw-request.js'
import { as, expectSuccess, waitJob } from '../world/world.js'
import { attack } from './attack.js'
import {
  lines,
  named,
  parseCsv,
  parseParsable,
  parseTable,
  unescapeControls,
} from './records-read-back.js'
import {
  attempt,
  expectAllRefused,
  expectBobServed,
  shared,
  watchDaemon,
} from './watched-daemon.js'

const watched = watchDaemon()

const HOSTILE = [
  'a\nforged,row,of,a,record\n',
  'tab\tand|pipe;semicolon,comma',
  'quote"double""triple"""',
  "it's $(id) `id` ${HOME}",
  '\u001b[2J\u001b[31m\u001b]0;owned\u0007',
  '\u0000NUL',
  '\u009b31m\u0085\u2028\u2029',
  '\u202eright-to-left\u2066\u061c\u200f',
  '\\u000a \\n \\x1b \\',
  '{"id":"00000000000000000000000000000000","uid":0}',
  ' '.repeat(30) + 'COMPLETED 0:0',
]
const FORMULAS = ['=cmd|"/C calc"!A0', '+1-1', '-2+3', '@SUM(1)', '\t=1', '\r=1']
const acct = async (format: string, user: 'alice' | 'root' = 'root') =>
  expectSuccess(await hepwrap(user, ['acct', '--user', 'alice', '--format', format])).stdout
const CONTROLS =
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/

attack(
  'A01',
  'own',
  'forged variables and words of the client say nothing in a record',
  async () => {
    const forged = {
      SLURM_JOB_ID: '1',
      SLURM_JOBID: '1',
      SLURM_STEP_ID: '77',
      SLURM_PROCID: '9',
      SLURM_JOB_ACCOUNT: 'bobs',
      SLURM_JOB_PARTITION: 'other',
      SLURM_JOB_USER: 'bob',
      SLURM_ARRAY_JOB_ID: '5',
      USER: 'bob',
      LOGNAME: 'bob',
      SLURMD_NODENAME: 'n9',
    }
    const words = Object.entries(forged)
      .map(([name, value]) => `export ${name}=${value}`)
      .join('; ')
    const job = await as('alice').sbatch(`${words}; hepwrap run --name forged busybox:test true`, [
      '-p',
      'shared',
    ])
    await waitJob(job.id)
    expect((await records('root')).filter(({ name }) => name === 'forged')).toEqual([
      expect.objectContaining({
        job_id: Number(job.id),
        step_id: 'batch',
        user: 'alice',
        uid: 2001,
        node: 'n1',
        partition: 'shared',
        array_job_id: null,
        account: null,
        task: 0,
      }),
    ])
  },
)

attack(
  'A02',
  'CWE-117',
  'newlines, separators, quotes and escapes in every text of a record break no format',
  async () => {
    const before = (await records('root', '--user', 'alice')).length
    const asked = HOSTILE.flatMap((text) => [
      bareRequest({ image: text }),
      bareRequest({ command: ['echo', text], labels: { [`k${text}`.slice(0, 128)]: text } }),
      bareRequest({ command: [text, text], image: 'not/allowed:x', labels: { l: text } }),
      bareRequest({ name: text }),
    ])
    await attempt(
      asked.map((request) => runBytes(request)),
      30,
    )
    const expected = await records('root', '--user', 'alice')
    expect(expected.length - before).toBe(asked.length)
    const texts = (record: object) => {
      const cells = record as Record<string, string | number | object | null>
      return RECORD_FIELDS.map((field) => {
        const value = cells[field] ?? null
        if (value === null) return ''
        return unescapeControls(typeof value === 'object' ? JSON.stringify(value) : String(value))
      })
    }
    for (const [format, parse] of [
      ['csv', parseCsv],
      ['parsable', parseParsable],
    ] as const) {
      const text = await acct(format)
      expect(text, format).not.toMatch(CONTROLS)
      const [head, ...rows] = parse(text)
      expect(head).toEqual(RECORD_FIELDS)
      expect(
        rows.map((cells) => cells.map(unescapeControls)),
        format,
      ).toEqual(expected.map(texts))
    }
    expect(await acct('json')).not.toMatch(CONTROLS)
    const table = await acct('table')
    expect(table).not.toMatch(CONTROLS)
    const shown = parseTable(table)
    expect(shown.map(({ ID, State, Reason }) => [ID, State, Reason])).toEqual(
      expected.map(({ id, state, reason }) => [id.slice(0, 12), state, reason ?? '']),
    )
  },
)

attack(
  'A03',
  'CWE-1236',
  'a cell that a spreadsheet takes for a formula is a text, unchanged, in quotes where it has to be',
  async () => {
    await attempt(FORMULAS.map((text) => runBytes(bareRequest({ image: text, command: [text] }))))
    const rows = parseCsv(await acct('csv'))
      .slice(-FORMULAS.length)
      .map(named)
    expect(rows.map(({ image }) => unescapeControls(image!)).sort()).toEqual([...FORMULAS].sort())
    for (const row of rows) expect(row).toMatchObject({ state: 'REFUSED', uid: '2001' })
  },
)

attack(
  'A04',
  'CWE-117',
  'nothing that a user says makes a line, or a key, of the daemon’s log',
  async () => {
    const before = watched.daemon.log().length
    await attempt(
      HOSTILE.flatMap((text) => [
        runBytes(bareRequest({ image: text, name: text })),
        runBytes(
          bareRequest({ workdir: text, labels: { level: '60', [text.slice(0, 100)]: text } }),
        ),
        runBytes(`{"level":60,"uid":0,"msg":${JSON.stringify(text)}}`),
      ]),
      30,
    )
    for (const text of HOSTILE.filter((one) => !one.includes('\0')))
      await hepwrap('alice', ['kill', text])
    const said = watched.daemon.log().slice(before)
    expect(said.length).toBeGreaterThan(HOSTILE.length)
    watched.expectSound() // each line is an object, and none of level 50 or 60
    for (const line of said) {
      expect(line).toMatchObject({ name: 'hepwrapd' })
      expect([undefined, 2001]).toContain(line['uid'])
    }
  },
)

attack(
  'A05',
  'own',
  'refusals without end fill neither ledger nor disk',
  async () => {
    const ledger = `${watched.daemon.stateDirectory}/ledger.db`
    const size = () => statSync(ledger).size + statSync(`${ledger}-wal`).size
    const before = size()
    const request = runBytes(bareRequest({ image: 'not/allowed:x' }))
    for (let round = 0; round < 6; round++)
      expectAllRefused(await attempt(Array<Buffer>(400).fill(request), 40))
    expect(watched.rows().length).toBeLessThanOrEqual(2001)
    const tellsOnce = watched.daemon.log().filter(({ msg }) => String(msg).includes('not recorded'))
    expect(tellsOnce).toHaveLength(1)
    expect(size() - before).toBeLessThan(16 * 1024 ** 2)
    // What he does run is recorded, and so is everybody else's.
    expectSuccess(
      await hepwrapRun('alice', ['--name', 'after-all', 'busybox:test', 'true'], {
        slurm: shared.slice(1),
      }),
    )
    expect(watched.rows().at(-1)).toMatchObject({ name: 'after-all', state: 'COMPLETED' })
    await expectBobServed()
  },
  120_000,
)

attack(
  'A06',
  'own',
  'labels, names and commands of megabytes are cut or refused before they are written',
  async () => {
    const ledger = `${watched.daemon.stateDirectory}/ledger.db`
    const size = () => statSync(ledger).size + statSync(`${ledger}-wal`).size
    const before = size()
    const mib = 'x'.repeat(1024 * 1024)
    const keys = Object.fromEntries(
      Array.from({ length: 30 }, (_, index) => [`${index}${mib.slice(0, 100_000)}`, 'v']),
    )
    const verdicts = await attempt(
      [
        { labels: keys },
        { labels: { k: mib } },
        { labels: { [mib]: 'v' } },
        { name: mib },
        { image: mib },
        { command: ['echo', mib, mib, mib] },
        { entrypoint: mib },
        { cwd: mib },
      ].map((more) => runBytes(bareRequest(more))),
      20,
    )
    expect(verdicts.every(({ exit }) => exit !== undefined)).toBe(true)
    expect(size() - before).toBeLessThan(2 * 1024 ** 2)
    const longest = watched.daemon.ledgerRows(
      'select max(length(command)) as command, max(length(labels)) as labels, max(length(image)) as image from records',
    )
    expect(Number(longest[0]!['command'])).toBeLessThanOrEqual(4096)
    expect(Number(longest[0]!['labels'])).toBeLessThan(64 * 1024)
    expect(Number(longest[0]!['image'])).toBeLessThanOrEqual(1024)
  },
)

attack(
  'A07',
  'own',
  'by the command line, too: every argument is a text and nothing more',
  async () => {
    const flags = HOSTILE.filter((text) => !text.includes('\0'))
    await hepwrapRuns(
      'alice',
      [
        ...flags.map((text) => ['--label', `k=${text}`, 'busybox:test', 'echo', text]),
        ...flags.map((text) => ['--name', text, 'busybox:test', 'true']),
        ...flags.map((text) => [text, 'true']),
      ],
      { slurm: shared.slice(1), timeoutMs: 60_000 },
    )
    const table = parseTable(await acct('table'))
    expect(lines(await acct('csv')).length).toBe(table.length + 1)
    expect(lines(await acct('parsable')).length).toBe(table.length + 1)
  },
  90_000,
)
