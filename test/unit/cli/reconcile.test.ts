// `hepwrap reconcile` as a process: the aggregator played by the test, sacct's answer from a file or a program of the test's.
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { UsageRecord } from '../../../src/wire/usage-api.js'
import { buildClient, type BuiltClient } from './support/built-client.js'
import { startClient } from './support/client-process.js'
import {
  sendJson,
  sendLines,
  startFakeAggregator,
  type FakeAggregator,
} from './support/fake-aggregator.js'
import { someRecord } from './support/some-record.js'

const SACCT = join(import.meta.dirname, '../reports/fixtures/sacct-22.05.json')
const PERIOD = ['--since', '2026-11-20T16:00:00Z', '--until', '2026-11-20T17:00:00Z']

/** Of step 1.0 of the fixture: 0.23 s of CPU time, 200 MiB. */
const agreeing: UsageRecord = {
  ...someRecord,
  job_id: 1,
  cpu_user_usec: 200_000,
  cpu_system_usec: 0,
  memory_peak_bytes: 1024 ** 2,
}

let client: BuiltClient
let aggregator: FakeAggregator
beforeAll(async () => {
  client = await buildClient()
})
afterAll(() => client.remove())
afterEach(() => aggregator.stop())

interface Whoami {
  readonly user: string
  readonly operator: boolean
}

async function reconcile(
  args: readonly string[],
  records: readonly UsageRecord[],
  {
    whoami = { user: 'root', operator: true },
    env = {},
  }: { whoami?: Whoami; env?: Record<string, string> } = {},
) {
  aggregator = await startFakeAggregator((url, reply) =>
    url.pathname === '/v1/whoami' ? sendJson(reply, whoami) : sendLines(reply, records),
  )
  const { status, stdout, stderr } = await startClient(
    client.path,
    '/nonexistent/sock',
    ['reconcile', ...args],
    {
      env: { ...aggregator.env, ...env },
    },
  ).end
  return { status, stdout: stdout.toString(), stderr, asked: aggregator.asked }
}

describe('reconcile', () => {
  it('ends with 0 where all agree, and says what was compared', async () => {
    const { status, stdout, stderr, asked } = await reconcile(
      [...PERIOD, '--sacct', SACCT],
      [agreeing],
    )
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout.split('\n')).toEqual([
      'Finding           JobID          User       Account    Nodes        Containers        Hepwrap          Slurm',
      '',
      '1 containers in 1 steps of 1 jobs: all agree',
      '',
    ])
    expect(asked).toEqual([
      'GET /v1/whoami',
      'GET /v1/records?since=2026-11-20T16:00:00.000Z&until=2026-11-20T17:00:00.000Z',
    ])
  })

  it('ends with 1 where something does not, the worst first', async () => {
    const { status, stdout } = await reconcile(
      [...PERIOD, '--sacct', SACCT],
      [
        { ...agreeing, cpu_user_usec: 3_605_000_000 },
        { ...agreeing, job_id: 99, step_id: 'batch', user: 'bob', uid: 2002, account: 'cms' },
        {
          ...agreeing,
          job_id: 5,
          step_id: 'batch',
          user: 'bob',
          memory_peak_bytes: 300 * 1024 ** 2,
        },
        { ...agreeing, job_id: 4, step_id: 'batch', state: 'RUNNING', ended_at: null },
        { ...agreeing, cluster: 'elsewhere' },
        { ...agreeing, job_id: null },
      ],
    )
    expect(status).toBe(1)
    expect(stdout.split('\n')).toEqual([
      'Finding           JobID          User       Account    Nodes        Containers        Hepwrap          Slurm',
      'other-user        5.batch        alice      atlas      n1                    1            bob          alice',
      'unknown-job       99.batch       bob        cms        n1                    1            bob',
      'cpu-above-step    1.0            alice      atlas      n1                    1       01:00:05       00:00:00',
      'memory-above-step 5.batch        alice      atlas      n1                    1           300M           200M',
      '',
      '4 containers in 3 steps of 3 jobs: 4 disagreements; not compared: 1 outside of jobs, 1 of other clusters (--cluster)',
      '',
    ])
  })

  it('takes several clusters', async () => {
    const args = [...PERIOD, '--sacct', SACCT, '-M', 'hepp,elsewhere']
    const list = await reconcile(args, [agreeing, { ...agreeing, cluster: 'elsewhere' }])
    expect(list.stdout).toContain('2 containers in')
    expect(list.stdout).not.toContain('of other clusters')
  })

  it('gives programs exact values, and lists of fields', async () => {
    const records = [{ ...agreeing, cpu_user_usec: 9_000_000 }]
    const args = [...PERIOD, '--sacct', SACCT]
    const { status, stdout } = await reconcile([...args, '--json'], records)
    expect(status).toBe(1)
    expect(JSON.parse(stdout)).toEqual([
      {
        Finding: 'cpu-above-step',
        JobID: '1.0',
        User: 'alice',
        Account: 'atlas',
        Nodes: 'n1',
        Containers: 1,
        Hepwrap: 9_000_000,
        Slurm: 232_843,
        Cluster: 'hepp',
        Meaning: 'containers used more CPU time than Slurm counted for their step',
      },
    ])
    await aggregator.stop()
    const list = await reconcile([...args, '-Pn', '-o', 'finding,jobid,cluster'], records)
    expect(list.stdout).toBe('cpu-above-step|1.0|hepp\n')
  })

  it('has a tolerance', async () => {
    const records = [{ ...agreeing, memory_peak_bytes: 215 * 1024 ** 2 }]
    const args = [...PERIOD, '--sacct', SACCT]
    expect((await reconcile(args, records)).status).toBe(1)
    await aggregator.stop()
    expect((await reconcile([...args, '--tolerance', '10%'], records)).status).toBe(0)
  })

  it('compares, for who is no operator, his own jobs alone', async () => {
    const whoami = { user: 'bob', operator: false }
    const { status, stdout } = await reconcile([...PERIOD, '--sacct', SACCT], [], { whoami })
    expect({ status, last: stdout.trimEnd().split('\n').at(-1) }).toEqual({
      status: 0,
      last: '0 containers in 0 steps of 0 jobs: all agree',
    })
  })

  it.each([
    [[], 'reconcile needs --since TIME, like now-1day', 'HW_USAGE'],
    [
      ['--since', 'now', '--until', 'now-1day'],
      '--since "now": is not before --until',
      'HW_OPTION_INVALID',
    ],
    [[...PERIOD, '--tolerance', 'x'], '--tolerance "x": not a percentage', 'HW_OPTION_INVALID'],
    [[...PERIOD, '--sacct', '/nonexistent'], '--sacct "/nonexistent": ENOENT', 'HW_SACCT_FAILED'],
    [
      [...PERIOD, '--sacct', '/dev/null'],
      '"/dev/null" is not what "sacct --json" writes',
      'HW_SACCT_FAILED',
    ],
  ])('%j fails with 125 and one line', async (args, text, code) => {
    const { status, stdout, stderr } = await reconcile(args, [])
    expect({ status, stdout }).toEqual({ status: 125, stdout: '' })
    expect(stderr.startsWith(`hepwrap: ${text}`), stderr).toBe(true)
    expect(stderr).toMatch(new RegExp(`\\(${code}\\)\\n$`))
  })
})

describe('sacct', () => {
  /** A sacct on the PATH: a shell script, which notes how it was called. */
  function fakeSacct(script: string): { PATH: string; noted: () => string } {
    const directory = join(aggregator.directory, 'bin')
    mkdirSync(directory)
    const note = join(directory, 'note')
    writeFileSync(
      join(directory, 'sacct'),
      `#!/bin/sh\n(env | sort; echo "$@") >>${note}\n${script}\n`,
    )
    chmodSync(join(directory, 'sacct'), 0o755)
    return { PATH: `relative:${directory}:/usr/bin:/bin`, noted: () => readFileSync(note, 'utf8') }
  }

  async function withSacct(script: string, args: readonly string[] = []) {
    aggregator = await startFakeAggregator((url, reply) =>
      url.pathname === '/v1/whoami'
        ? sendJson(reply, { user: 'root', operator: true })
        : sendLines(reply, [agreeing]),
    )
    const { PATH, noted } = fakeSacct(script)
    const env = { ...aggregator.env, PATH, SLURM_TIME_FORMAT: 'relative', TZ: 'Asia/Tokyo' }
    const end = await startClient(
      client.path,
      '/nonexistent/sock',
      ['reconcile', ...PERIOD, ...args],
      { env },
    ).end
    return { status: end.status, stderr: end.stderr, noted }
  }

  it('is asked in UTC, in an environment that changes nothing of what it prints', async () => {
    const { status, stderr, noted } = await withSacct(`cat ${SACCT}`, ['-M', 'hepp'])
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(
      noted()
        .split('\n')
        .filter((line) => !/^(PWD|_|SHLVL|OLDPWD)=/.test(line)),
    ).toEqual([
      'LC_ALL=C',
      'PATH=/usr/bin:/bin',
      'TZ=UTC',
      '--json --duplicates --allusers --clusters=hepp --starttime=2026-11-20T16:00:00 --endtime=2026-11-20T17:00:00',
      '',
    ])
  })

  it('fails: says so in its own words', async () => {
    const { status, stderr } = await withSacct('echo "sacct: error: no slurmdbd" >&2; exit 1')
    expect({ status, stderr }).toEqual({
      status: 125,
      stderr: 'hepwrap: sacct: sacct: error: no slurmdbd (HW_SACCT_FAILED)\n',
    })
  })

  it('writes something else: says so', async () => {
    const { status, stderr } = await withSacct('echo "JobID User"')
    expect(status).toBe(125)
    expect(stderr).toMatch(
      /is not what "sacct --json" writes: it begins "JobID User\\n" \(HW_SACCT_FAILED\)\n$/,
    )
  })

  it('has more to say than can be held: is asked in slices', { timeout: 60_000 }, async () => {
    // More than 256 MiB for whatever is longer than half an hour.
    const { status, stderr, noted } = await withSacct(
      `case "$*" in *16:00:00*17:00:00*) head -c 300000000 /dev/zero ;; *) cat ${SACCT} ;; esac`,
    )
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(noted().match(/--starttime=\S+ --endtime=\S+/g)).toEqual([
      '--starttime=2026-11-20T16:00:00 --endtime=2026-11-20T17:00:00',
      '--starttime=2026-11-20T16:00:00 --endtime=2026-11-20T16:30:00',
      '--starttime=2026-11-20T16:30:00 --endtime=2026-11-20T17:00:00',
    ])
  })
})
