// What an administrator sees of a node's accounting: the metrics, the doctor's word, the log; and that a ledger which is full or a
// record which nobody takes stops neither runs nor the other records.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, describe, expect, it } from 'vitest'
import {
  newToken,
  startAggregator,
  stopAggregators,
  writeToken,
  type Aggregator,
} from '../../world/aggregator.js'
import { type Daemon, startDaemon, stopDaemons } from '../../world/daemon.js'
import { eventually } from '../../world/eventually.js'
import { as } from '../../world/world.js'
import { hepwrapRuns } from '../../slurm/job-runs.js'
import type { DoctorCheck } from '../../../src/wire/job-api.js'
import { atAggregator, expectAllArrive, inLedger } from './records-at.js'

afterEach(async () => {
  await stopDaemons()
  await stopAggregators()
})

const TRUE = ['busybox:test', 'true']
const METRICS = '127.0.0.1:7781'

const GET = `
  const [socketPath, path] = process.argv.slice(1)
  require('node:http').get({ socketPath, path }, (reply) => reply.pipe(process.stdout))`

async function scrape(): Promise<Map<string, number>> {
  const text = await (await fetch(`http://${METRICS}/metrics`)).text()
  const lines = text.split('\n').filter((line) => /^[^#]/.test(line))
  return new Map(lines.map((line) => [line.replace(/ \S+$/, ''), Number(line.replace(/^.* /, ''))]))
}

async function check(name: string): Promise<DoctorCheck> {
  const { stdout } = await as('root').run(['hepwrap', 'doctor', '--json'])
  const found = (JSON.parse(stdout) as DoctorCheck[]).find((one) => one.name === name)
  if (found === undefined) throw new Error(`no check ${name}: ${stdout}`)
  return found
}

const runTrue = async (times = 1) => {
  const runs = await hepwrapRuns('alice', Array(times).fill(TRUE) as string[][])
  expect(runs.map(({ status }) => status)).toEqual(Array(times).fill(0))
}

/** The daemon is stopped meanwhile: it alone writes its ledger. */
async function inStoppedLedger(daemon: Daemon, change: (db: Database.Database) => void) {
  await daemon.stop()
  const db = new Database(join(daemon.stateDirectory, 'ledger.db'))
  change(db)
  db.close()
  await daemon.restart()
}

describe('the metrics of a node', () => {
  it('are what has happened on it', async () => {
    const aggregator = await startAggregator()
    const accounting = { aggregator: aggregator.url }
    const daemon = await startDaemon({ config: { accounting, metrics: { listen: METRICS } } })
    await hepwrapRuns('alice', [TRUE, TRUE, ['busybox:test', 'false'], ['nothere:1', 'true']])
    await expectAllArrive(aggregator, inLedger(daemon))
    const got = await scrape()
    expect(got.get('hepwrapd_launches_total')).toBe(3)
    expect(got.get('hepwrapd_runs_ended_total{state="COMPLETED"}')).toBe(2)
    expect(got.get('hepwrapd_runs_ended_total{state="FAILED"}')).toBe(1)
    expect(got.get('hepwrapd_refusals_total{reason="HW_IMAGE_REFUSED"}')).toBe(1)
    expect(got.get('hepwrapd_running_containers')).toBe(0)
    expect(got.get('hepwrapd_engine_up')).toBe(1)
    expect(got.get('hepwrapd_unsent_records')).toBe(0)
    expect(got.get('hepwrapd_oldest_unsent_record_age_seconds')).toBe(0)
    expect(got.get('hepwrapd_forwarder_batches_total{outcome="sent"}')).toBeGreaterThan(0)
    expect(Math.abs(got.get('hepwrapd_aggregator_clock_skew_seconds') ?? NaN)).toBeLessThan(5)
    const stages = 'admit image record cgroup mounts create attach start enter ledger total'
    for (const stage of stages.split(' '))
      expect(got.get(`hepwrapd_launch_seconds_count{stage="${stage}"}`), stage).toBe(3)
  })

  it('have nobody’s words in them, and are off unless they are configured', async () => {
    await startDaemon()
    const refused = ['--name', 'secretname', 'secret.example/image:1', 'true']
    await hepwrapRuns('alice', [refused])
    await expect(fetch(`http://${METRICS}/metrics`)).rejects.toThrow()
    const overSocket = (user: 'root' | 'alice') =>
      as(user).run(['node', '-e', GET, '/run/hepwrap/hepwrapd.sock', '/v1/metrics'])
    expect((await overSocket('alice')).stdout).toContain('HW_ROOT_ONLY')
    const { stdout } = await overSocket('root')
    expect(stdout).toContain('hepwrapd_refusals_total{reason="HW_IMAGE_REFUSED"} 1')
    expect(stdout).not.toMatch(/secret|alice|2001/)
  })
})

describe('the doctor', () => {
  it('is content with an aggregator that takes this node’s records', async () => {
    const aggregator = await startAggregator()
    const daemon = await startDaemon({ config: { accounting: { aggregator: aggregator.url } } })
    await runTrue()
    await expectAllArrive(aggregator, inLedger(daemon))
    expect(await check('aggregator')).toMatchObject({
      ok: true,
      detail: `${aggregator.url} takes the records of hepp/n1; the clocks agree`,
    })
    expect(await check('records')).toMatchObject({ ok: true, detail: 'all at the aggregator' })
  })

  it('finds that this node’s credential is refused, and why', async () => {
    const aggregator = await startAggregator({ tokens: { 'node hepp/n2': newToken() } })
    const accounting = {
      aggregator: aggregator.url,
      auth: 'token',
      token_file: writeToken(newToken()),
    }
    await startDaemon({ config: { accounting } })
    const found = await check('aggregator')
    expect(found).toMatchObject({ ok: false, mend: expect.stringMatching(/token/) as unknown })
    expect(found.detail).toMatch(/\(HW_CREDENTIAL_INVALID\)$/)
  })
})

describe('a token over TLS', () => {
  it('brings the records; a token file that others may read is refused at the start', async () => {
    const token = newToken()
    const aggregator = await startAggregator({
      tls: true,
      tokens: { 'node hepp/n1': token, 'operator user:0': token + 'x' },
    })
    const token_file = writeToken(token)
    const accounting = {
      aggregator: aggregator.url,
      auth: 'token',
      token_file,
      ca_file: aggregator.caFile,
    }
    const daemon = await startDaemon({ config: { accounting } })
    await runTrue()
    await eventually(() => acknowledged(daemon), { what: 'all records at the aggregator' })
    expect((await check('aggregator')).ok).toBe(true)
    await as('root').run(['chmod', '644', token_file])
    const checked = await as('root').run([
      'hepwrapd',
      '--config',
      daemon.configPath,
      '--check-config',
    ])
    expect(checked.status).toBe(1)
    expect(checked.stderr).toContain(token_file)
    expect(checked.stderr).not.toContain(token)
    expect(daemon.logText()).not.toContain(token)
  })
})

const acknowledged = (daemon: Daemon): boolean => {
  const [row] = daemon.ledgerRows(
    `select count(*) as unsent from records
     where change_seq > (select cast(value as integer) from marks where name = 'acked')`,
  )
  return row?.['unsent'] === 0
}

describe('a record that the aggregator takes under no circumstances', () => {
  it('is set aside and named, and all others arrive; runs go on', async () => {
    const aggregator = await startAggregator()
    await aggregator.stop()
    const daemon = await startDaemon({
      config: { accounting: { aggregator: aggregator.url }, metrics: { listen: METRICS } },
    })
    await runTrue(5)
    const bad = inLedger(daemon)[2]!.id
    await inStoppedLedger(daemon, (db) =>
      db.prepare("UPDATE records SET created_at = 'yesterday' WHERE id = ?").run(bad),
    )
    await aggregator.restart()
    const others = inLedger(daemon).filter(({ id }) => id !== bad)
    await expectAllArrive(aggregator, others)
    await runTrue()
    await expectAllArrive(
      aggregator,
      inLedger(daemon).filter(({ id }) => id !== bad),
    )
    const line = daemon.log().find(({ msg }) => String(msg).includes('set aside'))
    expect(line).toMatchObject({ level: 50, runId: bad, code: 'HW_BATCH_INVALID' })
    expect((await scrape()).get('hepwrapd_set_aside_records')).toBe(1)
    const found = await check('records')
    expect(found.ok).toBe(false)
    expect(found.detail).toContain(bad)
    expect(found.detail).toMatch(/\(HW_RECORDS_SET_ASIDE\)$/)
    // Mended, and sent again at the next start.
    await inStoppedLedger(daemon, (db) =>
      db.prepare('UPDATE records SET created_at = started_at WHERE id = ?').run(bad),
    )
    await expectAllArrive(aggregator, inLedger(daemon))
    await eventually(async () => (await check('records')).ok)
  })
})

describe('a node that is renamed', () => {
  it('goes on; what it had not sent under its old name is named, and goes once it has that again', async () => {
    const aggregator = await startAggregator()
    const daemon = await startDaemon({ config: { accounting: { aggregator: aggregator.url } } })
    await runTrue(2)
    const sent = inLedger(daemon)
    await expectAllArrive(aggregator, sent)
    await aggregator.stop()
    await runTrue(3)
    const old = inLedger(daemon)
    const rename = async (cluster: string) => {
      const text = readFileSync(daemon.configPath, 'utf8')
      writeFileSync(daemon.configPath, text.replace(/^cluster = .*$/m, `cluster = "${cluster}"`))
      await daemon.restart()
    }
    await rename('renamed')
    await aggregator.restart()
    await runTrue()
    const named = () => inLedger(daemon).filter(({ cluster }) => cluster === 'renamed')
    await expectAllArrive(aggregator, sent, named())
    expect((await check('records')).detail).toMatch(
      /^3 records .*of another name.*renamed\/n1 \(HW_RECORDS_SET_ASIDE\)$/,
    )
    await rename('hepp')
    await expectAllArrive(aggregator, old, named())
  })
})

describe('a ledger that is full while the aggregator is down', () => {
  it('drops the oldest that are not sent, counts and tells it; runs and their records go on', async () => {
    const aggregator = await startAggregator()
    await aggregator.stop()
    const accounting = { aggregator: aggregator.url, max_ledger_mb: 1 }
    const daemon = await startDaemon({ config: { accounting, metrics: { listen: METRICS } } })
    await runTrue()
    await inStoppedLedger(daemon, multiply(4000))
    await eventually(() =>
      daemon.log().some(({ level, msg }) => level === 50 && String(msg).includes('ledger is full')),
    )
    const kept = inLedger(daemon).length
    expect(kept).toBeLessThan(4000)
    const got = await scrape()
    expect(got.get('hepwrapd_dropped_records_total')).toBe(4001 - kept)
    expect(got.get('hepwrapd_ledger_bytes')).toBeLessThanOrEqual(2 ** 20)
    expect((await check('records')).detail).toMatch(/\(HW_RECORDS_DROPPED\)$/)
    await runTrue()
    await aggregator.restart()
    await arrived(aggregator, daemon)
  })
})

/** Copies of the one record that is there, each with an id of its own. */
const multiply = (count: number) => (db: Database.Database) => {
  const columns = (db.pragma('table_info(records)') as { name: string }[])
    .map(({ name }) => `"${name}"`)
    .filter((name) => name !== '"seq"')
  const values = columns.map((name) =>
    name === '"id"' ? 'lower(hex(randomblob(16)))' : name === '"change_seq"' ? '100 + n' : name,
  )
  db.exec(`WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${count})
    INSERT INTO records (${columns.join(', ')}) SELECT ${values.join(', ')} FROM records, numbers`)
}

async function arrived(aggregator: Aggregator, daemon: Daemon): Promise<void> {
  await eventually(() => acknowledged(daemon), { timeoutMs: 40_000, what: 'all to be sent' })
  expect((await atAggregator(aggregator)).length).toBe(inLedger(daemon).length)
}

describe('old records', () => {
  it('leave the ledger once they are sent, and stay at the aggregator', async () => {
    const aggregator = await startAggregator()
    const accounting = { aggregator: aggregator.url, keep_days: 30 }
    const daemon = await startDaemon({ config: { accounting } })
    await runTrue(2)
    await expectAllArrive(aggregator, inLedger(daemon))
    const all = inLedger(daemon)
    await inStoppedLedger(daemon, (db) =>
      db
        .prepare("UPDATE records SET ended_at = '2020-01-01T00:00:00.000Z' WHERE id = ?")
        .run(all[0]!.id),
    )
    await eventually(() => inLedger(daemon).length === 1)
    expect(await atAggregator(aggregator)).toEqual(all)
  })
})

describe('the configuration', () => {
  it.each([
    [
      'aggregator = "https://acct.example:7780"\nauth = "token"\ntoken_file = "/srv/none"',
      '/srv/none',
    ],
    ['aggregator = "https://acct.example:7780"\nca_file = "/srv/none.pem"', '/srv/none.pem'],
    ['max_ledger_mb = 0', 'accounting.max_ledger_mb'],
  ])('is checked: %s', async (text, named) => {
    const path = '/srv/checked.toml'
    writeFileSync(path, `[accounting]\n${text}\n`, { mode: 0o644 })
    const { status, stderr } = await as('root').run([
      'hepwrapd',
      '--config',
      path,
      '--check-config',
    ])
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringContaining(named) as unknown,
    })
  })
})
