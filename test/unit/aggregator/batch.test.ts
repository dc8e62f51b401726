// Batches line by line: what is taken, and how what is not is named.
import { describe, expect, it } from 'vitest'
import { parseBatch } from '../../../src/aggregator/batch.js'
import { MAX_BATCH_RECORDS } from '../../../src/wire/ingest-api.js'
import { RECORD_FIELDS } from '../../../src/wire/record-fields.js'
import { ndjson, usageRecord } from '../../support/usage-record.js'

const N1 = { cluster: 'hepp', node: 'n1' }
const range = { ...N1, ledger: 'a'.repeat(32), after: 5, upto: 7 }
const parse = (text: string, ledger?: typeof range) => parseBatch(Buffer.from(text), N1, ledger)

describe('is taken', () => {
  it('as it was sent, field by field', async () => {
    const record = usageRecord({ command: 'echo "é\u0000\ud800"', labels: { a: '' }, cpus: 1.5 })
    const [only] = await parse(ndjson([record]))
    expect(only).toEqual({ record, changeSeq: 0 })
    expect(Object.keys(only!.record)).toEqual(RECORD_FIELDS)
  })

  it('without its last line feed, and empty', async () => {
    expect(await parse(ndjson([usageRecord()]).trimEnd())).toHaveLength(1)
    expect(await parse('')).toEqual([])
  })

  it('of a newer node with more fields, and of an older one with fewer', async () => {
    const { rule, ...older } = { ...usageRecord(), of_tomorrow: { deep: [1] }, ['__proto__']: 1 }
    expect(rule).toBeNull()
    const [only] = await parse(ndjson([older]))
    expect(only?.record).not.toHaveProperty('of_tomorrow')
    expect(only?.record.rule).toBeNull()
  })

  it('with changes in its range', async () => {
    const lines = ndjson([usageRecord({ change_seq: 6 }), usageRecord({ change_seq: 7 })])
    expect((await parse(lines, range)).map(({ changeSeq }) => changeSeq)).toEqual([6, 7])
  })

  it('of whatever node it is, all of one', async () => {
    const lines = ndjson([usageRecord({ node: 'n2' }), usageRecord({ node: 'n2' })])
    expect(await parseBatch(Buffer.from(lines), undefined, undefined)).toHaveLength(2)
    const mixed = lines + ndjson([usageRecord({ node: 'n3' })])
    await expect(parseBatch(Buffer.from(mixed), undefined, undefined)).rejects.toThrow(/^line 3:/)
  })
})

describe('texts that no honest node sends', () => {
  it('are cut, and the record counts all the same', async () => {
    const long = 'é'.repeat(10_000)
    const lines = ndjson([
      usageRecord({ image: long, command: long, account: long, labels: { a: 'x'.repeat(20_000) } }),
      usageRecord({ labels: { a: 'x'.repeat(8000), b: 'y'.repeat(8000) } }),
    ])
    const [first, second] = await parse(lines)
    expect(first?.record).toMatchObject({
      image: 'é'.repeat(1024),
      command: 'é'.repeat(4096),
      account: 'é'.repeat(1024),
      labels: null,
    })
    expect(second?.record.labels).toEqual({ a: 'x'.repeat(8000), b: 'y'.repeat(8000) })
  })

  it('in lines longer than any record are not even parsed', async () => {
    const bomb = `[${'[],'.repeat(100_000)}0]\n`
    await expect(parse(bomb)).rejects.toMatchObject({ code: 'HW_BATCH_INVALID' })
    await expect(parse(bomb)).rejects.toThrow(
      /^line 1: the line has \d+ bytes; a record has at most/,
    )
  })

  it('leave others their turn while they are parsed', async () => {
    const nested = ndjson([
      { ...usageRecord(), of_tomorrow: Array.from({ length: 30_000 }, () => []) },
    ])
    let turns = 0
    const count = setInterval(() => turns++, 0)
    await parse(nested.repeat(50))
    clearInterval(count)
    expect(turns).toBeGreaterThan(10)
  })
})

describe('is refused', () => {
  const good = ndjson([usageRecord()])

  it.each([
    ['{', 'line 2: not JSON, or cut off: "{"'],
    [good.slice(0, 100), /line 2: not JSON, or cut off: "/],
    ['[]', 'line 2: not a record: "[]"'],
    ['null', 'line 2: not a record: "null"'],
    ['\n', 'line 2: not JSON, or cut off: ""'],
    [{ id: '' }, 'line 2: id must be 1 to 64 letters, digits, ".", "_", ":" or "-" ("")'],
    [{ id: "'; DROP TABLE records; --" }, /line 2: id must be/],
    [{ uid: '2001' }, 'line 2: uid must be a whole number of 32 bits ("2001")'],
    [{ uid: -1 }, 'line 2: uid must be a whole number of 32 bits (-1)'],
    [{ uid: null }, 'line 2: uid must be a whole number of 32 bits (null)'],
    [{ state: 'DONE' }, /line 2: state must be one of RUNNING.* \("DONE"\)/],
    [
      { cpu_user_usec: 1.5 },
      'line 2: cpu_user_usec must be a whole number from 0 up, or null (1.5)',
    ],
    [{ cpu_user_usec: 1e300 }, /cpu_user_usec must be a whole number/],
    [{ io_read_bytes: -1 }, /io_read_bytes must be a whole number from 0 up, or null \(-1\)/],
    [{ cpus: 'all' }, 'line 2: cpus must be a number from 0 up, or null ("all")'],
    [{ created_at: 'yesterday' }, /created_at must be a time like/],
    [{ ended_at: 1_700_000_000 }, /ended_at must be a time like .*, or null \(1700000000\)/],
    [{ labels: { a: 1 } }, /labels must be a table of texts, or null/],
    [{ image: null }, 'line 2: image must be a text (null)'],
    [{ node: 'n 1' }, /line 2: node must be a name/],
    [{ node: 'n2' }, 'line 2: the record is of "hepp/n2", the batch of "hepp/n1"'],
    [{ cluster: 'other' }, 'line 2: the record is of "other/n1", the batch of "hepp/n1"'],
    [{ change_seq: '6' }, 'line 2: change_seq must be a whole number from 0 up ("6")'],
  ])('%j', async (bad, message) => {
    const text =
      typeof bad === 'string' ? bad : ndjson([usageRecord(bad as unknown as { id: string })])
    await expect(parse(good + text)).rejects.toThrow(message)
    await expect(parse(good + text)).rejects.toMatchObject({ code: 'HW_BATCH_INVALID' })
  })

  it.each([5, 8, 0])('with change %i outside of its range', async (change_seq) => {
    await expect(parse(ndjson([usageRecord({ change_seq })]), range)).rejects.toThrow(
      `line 1: change_seq ${change_seq} is not in the batch's range, from 6 to 7`,
    )
  })

  it('with more records than one may have', async () => {
    const line = ndjson([usageRecord()])
    await expect(parse(line.repeat(MAX_BATCH_RECORDS + 1))).rejects.toMatchObject({
      code: 'HW_BATCH_TOO_LARGE',
    })
  })

  it('in one line whatever stands in it', async () => {
    const evil = ndjson([usageRecord({ id: '\u001b[2J\n\u202e'.repeat(100) })])
    const error: unknown = await parse(evil).catch((thrown: unknown) => thrown)
    expect((error as Error).message).not.toMatch(/[\u0000-\u001f\u202e]/)
    expect((error as Error).message.length).toBeLessThan(1000)
  })
})
