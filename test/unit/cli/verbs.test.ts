// The everyday verbs as processes against a daemon played by the test.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { REASONS } from '../../../src/base/errors.js'
import { VERSION } from '../../../src/base/version.js'
import { RECORD_FIELDS as FIELDS } from '../../../src/wire/record-fields.js'
import type { UsageRecord } from '../../../src/wire/usage-api.js'
import { buildClient, type BuiltClient } from './support/built-client.js'
import { startClient } from './support/client-process.js'
import { startFakeDaemon, type FakeDaemon } from './support/fake-daemon.js'

let client: BuiltClient
let daemon: FakeDaemon | undefined
beforeAll(async () => {
  client = await buildClient()
})
afterAll(() => client.remove())
afterEach(async () => {
  await daemon?.stop()
  daemon = undefined
})

type Answer = (request: IncomingMessage, reply: ServerResponse, body: string) => void

/** Runs a verb; `asked` is what it asked the daemon. */
async function ask(args: string[], answer: Answer, env: Record<string, string> = {}) {
  const asked: string[] = []
  const fake = await startFakeDaemon({
    http: (request, reply) => {
      let body = ''
      request.on('data', (chunk: Buffer) => (body += chunk.toString()))
      request.on('end', () => {
        asked.push(
          `${String(request.method)} ${String(request.url)}${body === '' ? '' : ` ${body}`}`,
        )
        answer(request, reply, body)
      })
    },
  })
  daemon = fake
  const { status, stdout, stderr } = await startClient(client.path, fake.socketPath, args, {
    env: { TZ: 'UTC', ...env },
  }).end
  return { status, stdout: stdout.toString(), stderr, asked }
}

const json =
  (value: unknown, status = 200): Answer =>
  (_, reply) =>
    reply.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))

const alone = async (...args: string[]) => {
  const { status, stdout, stderr } = await startClient(client.path, '/nonexistent/sock', args).end
  return { status, stdout: stdout.toString(), stderr }
}

const record: UsageRecord = {
  id: '0123456789abcdef0123456789abcdef',
  cluster: 'hepp',
  node: 'n1',
  job_id: 42,
  array_job_id: null,
  array_task_id: null,
  het_offset: null,
  restart_count: 0,
  step_id: '0',
  task: 1,
  user: 'alice',
  uid: 1000,
  group: 'users',
  gid: 100,
  account: 'atlas',
  partition: 'main',
  image: 'registry.example/atlas/analysis:1.2.3',
  image_id: 'sha256:aa',
  image_digest: null,
  command: 'sh -c "a|b, c\\d"\n\u001b[2J\u202e',
  name: null,
  labels: { k: 'v' },
  engine: 'docker',
  engine_version: '20.10.24',
  state: 'COMPLETED',
  reason: null,
  exit_code: 0,
  signal: null,
  oom_kills: 0,
  created_at: '2026-01-31T12:00:00.000Z',
  started_at: '2026-01-31T12:00:01.500Z',
  ended_at: '2026-02-02T13:01:06.600Z',
  pull_ms: null,
  setup_ms: 12,
  cpu_user_usec: 61_000_000,
  cpu_system_usec: 1_500_000,
  memory_peak_bytes: 1_610_612_736,
  io_read_bytes: null,
  io_write_bytes: null,
  pids_peak: 3,
  cpus: 2,
  memory_limit_bytes: null,
  gres: null,
  rule: null,
}
const ndjson =
  (...records: unknown[]): Answer =>
  (_, reply) =>
    reply
      .writeHead(200, { 'content-type': 'application/x-ndjson' })
      .end(records.map((one) => `${JSON.stringify(one)}\n`).join(''))

describe('hepwrap', () => {
  it('--help, --version, and --help of each verb print on stdout and end with 0', async () => {
    expect(await alone('--version')).toEqual({
      status: 0,
      stdout: `hepwrap ${VERSION}\n`,
      stderr: '',
    })
    const { stdout } = await alone('--help')
    const verbs =
      'run images ps stop kill acct report reconcile export page doctor explain configure clean'.split(
        ' ',
      )
    const helps = await Promise.all(verbs.map((verb) => alone(verb, '--help')))
    for (const [index, verb] of verbs.entries()) {
      expect(stdout).toMatch(new RegExp(`^ {2}${verb} `, 'm'))
      expect(helps[index]).toMatchObject({ status: 0, stderr: '' })
      expect(helps[index]?.stdout).toMatch(new RegExp(`^Usage: hepwrap ${verb}`))
    }
  })

  it.each([
    [[], 'hepwrap: what to do? See hepwrap --help (HW_USAGE)\n'],
    [['rnu'], 'hepwrap: unknown command "rnu"; did you mean "run"? (HW_USAGE)\n'],
    [['constructor'], 'hepwrap: unknown command "constructor"; see hepwrap --help (HW_USAGE)\n'],
    [['ps', '--al'], 'hepwrap: unknown option "--al"; did you mean "--all"? (HW_OPTION_UNKNOWN)\n'],
    [['ps', 'x'], 'hepwrap: ps takes no argument, got "x" (HW_USAGE)\n'],
    [['stop'], 'hepwrap: the container is missing: hepwrap stop ID... (HW_USAGE)\n'],
    [
      ['acct', '--job', '1;2'],
      'hepwrap: --job "1;2": not a job id, nor a list like 41,42 (HW_OPTION_INVALID)\n',
    ],
    [
      ['acct', '--since', 'soon'],
      'hepwrap: --since "soon": not a time like 2026-01-31, 2026-01-31T12:00, now or now-7days (HW_OPTION_INVALID)\n',
    ],
    [
      ['acct', '-s', 'x'],
      'hepwrap: --state "x": must be one of RUNNING, COMPLETED, FAILED, CANCELLED, TIMEOUT, OUT_OF_MEMORY, NODE_FAIL, REFUSED (HW_OPTION_INVALID)\n',
    ],
    [
      ['acct', '--format', 'xml'],
      'hepwrap: --format "xml": must be one of table, json, csv, parsable, or a list of fields (HW_OPTION_INVALID)\n',
    ],
    [['acct', '--user='], 'hepwrap: --user "": is empty (HW_OPTION_INVALID)\n'],
    [
      ['configure'],
      'hepwrap: SLURM_JOB_ID is not set: this is for the prolog and epilog (HW_USAGE)\n',
    ],
    [
      ['images'],
      'hepwrap: hepwrapd does not answer on this node: /nonexistent/sock (HW_DAEMON_DOWN)\n',
    ],
    [
      ['--config', '/nonexistent.toml', 'ps'],
      'hepwrap: cannot read "/nonexistent.toml": ENOENT: no such file or directory, open \'/nonexistent.toml\' (HW_CONFIG_INVALID)\n',
    ],
  ])('%j fails with 1 and one line', async (args, stderr) => {
    expect(await alone(...args)).toEqual({ status: 1, stdout: '', stderr })
  })

  it('reads the socket from a configuration, and says what is wrong with it', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'hepwrap-config-'))
    const path = join(directory, 'c.toml')
    writeFileSync(path, '[node]\nsocket = 5\n')
    expect((await alone('ps', '--config', path)).stderr).toContain(
      'node.socket: must be an absolute path',
    )
    writeFileSync(path, '[node\n')
    expect((await alone('ps', '--config', path)).stderr).toMatch(
      /cannot read .*\(HW_CONFIG_INVALID\)\n$/,
    )
    rmSync(directory, { recursive: true })
  })
})

describe('images and ps', () => {
  it('list images', async () => {
    const rows = [
      { name: 'busybox:1.36', digest: null, id: 'sha256:1', size_bytes: 4_404_019 },
      { name: 'x\u001b[2J', digest: 'sha256:2', id: 'sha256:2', size_bytes: 999 },
    ]
    const { stdout, asked } = await ask(['images'], json(rows))
    expect(asked).toEqual(['GET /v1/images'])
    expect(stdout.split('\n')).toEqual([
      'IMAGE                                              SIZE DIGEST',
      'busybox:1.36                                       4.2M (local)',
      'x [2J                                               999 sha256:2',
      '',
    ])
    expect(JSON.parse((await ask(['images', '--json'], json(rows))).stdout)).toEqual(rows)
  })

  it('list containers', async () => {
    const row = {
      id: '0123456789abcdef',
      name: null,
      user: 'alice',
      uid: 1000,
      job_id: 42,
      step_id: 'batch',
      image: 'registry.example/atlas/analysis:1.2.3',
      command: 'sleep 9',
      state: 'RUNNING',
      created_at: '2026-01-31T12:00:00.000Z',
      started_at: null,
      ended_at: null,
      exit_code: null,
    }
    const { stdout, asked } = await ask(['ps', '-a'], json([row]))
    expect(asked).toEqual(['GET /v1/containers?all=true'])
    expect(stdout.split('\n')[1]).toBe(
      '0123456789ab alice      42.batch       RUNNING            2026-01-31T12:00:00 registry.example/atlas/+ sleep 9',
    )
    expect((await ask(['ps'], json([]))).asked).toEqual(['GET /v1/containers'])
  })
})

describe('stop and kill', () => {
  it('go on after a failure, say each that is done, and end with 1', async () => {
    const { status, stdout, stderr, asked } = await ask(
      ['stop', '-t', '5', 'aaaa', 'bbbb', '../x', '', 'cccc'],
      (request, reply, body) =>
        (request.url?.includes('bbbb') === true
          ? json({ code: 'HW_NOT_FOUND', message: 'there is no container "bbbb"' }, 404)
          : json({}))(request, reply, body),
    )
    expect(status).toBe(1)
    expect(stdout).toBe('aaaa\ncccc\n')
    expect(stderr.split('\n')).toEqual([
      'hepwrap: there is no container "bbbb" (HW_NOT_FOUND)',
      'hepwrap: there is no container "../x" (HW_NOT_FOUND)',
      'hepwrap: there is no container "" (HW_NOT_FOUND)',
      '',
    ])
    expect(asked).toEqual([
      'POST /v1/containers/aaaa/stop {"timeout_s":5}',
      'POST /v1/containers/bbbb/stop {"timeout_s":5}',
      'POST /v1/containers/cccc/stop {"timeout_s":5}',
    ])
  })

  it.each([
    [['kill', 'abcd'], 'POST /v1/containers/abcd/kill {}'],
    [['kill', 'abcd', '-s', 'usr1'], 'POST /v1/containers/abcd/kill {"signal":"SIGUSR1"}'],
    [['kill', '--signal=SIGHUP', 'abcd'], 'POST /v1/containers/abcd/kill {"signal":"SIGHUP"}'],
    [['kill', '-s9', 'abcd'], 'POST /v1/containers/abcd/kill {"signal":"9"}'],
  ])('%j', async (args, wanted) => {
    const { status, stdout, asked } = await ask(args, json({}))
    expect({ status, stdout, asked }).toEqual({ status: 0, stdout: 'abcd\n', asked: [wanted] })
  })

  it('refuse what is no signal and no time', async () => {
    expect((await alone('kill', '-s', 'a b', 'abcd')).stderr).toContain(
      '--signal "a b": not the name',
    )
    expect((await alone('stop', '-t', 'x', 'abcd')).stderr).toContain('--time "x": not seconds')
  })
})

describe('acct', () => {
  it('prints a table that no record can disturb', async () => {
    const { stdout, asked, status } = await ask(['acct'], ndjson(record))
    expect(asked).toEqual(['GET /v1/records?'])
    expect(status).toBe(0)
    expect(stdout.split('\n')).toEqual([
      'ID           JobID          User       Account    Node       Image                    State         ExitCode Start                   Elapsed     TotalCPU MaxMem Reason',
      '0123456789ab 42.0           alice      atlas      n1         registry.example/atlas/+ COMPLETED          0:0 2026-01-31T12:00:01Z 2-01:01:05    01:02.500   1.5G',
      '',
    ])
  })

  it('prints all fields as csv, in RFC 4180', async () => {
    const { stdout } = await ask(['acct', '--format=csv'], ndjson(record))
    const [head, line, ...rest] = stdout.split('\n')
    expect(head).toBe(FIELDS.join(','))
    expect(line).toContain(
      ',"sh -c ""a|b, c\\d""\\u000a\\u001b[2J\\u202e",,"{""k"":""v""}",docker,',
    )
    expect(line).toMatch(/^0123456789abcdef0123456789abcdef,hepp,n1,42,,,,0,0,1,alice,1000,/)
    expect(rest).toEqual([''])
  })

  it('prints all fields behind one another', async () => {
    const { stdout } = await ask(['acct', '-f', 'parsable'], ndjson(record))
    const [head, line] = stdout.split('\n')
    expect(head).toBe(FIELDS.join('|'))
    expect(line).toContain('|sh -c "a\\|b, c\\\\d"\\u000a\\u001b[2J\\u202e|')
    expect(line?.split(/(?<!\\)\|/)).toHaveLength(FIELDS.length)
  })

  it('prints json that is the records', async () => {
    const { stdout } = await ask(
      ['acct', '--format', 'json'],
      ndjson(record, { ...record, id: 'b' }),
    )
    expect(JSON.parse(stdout)).toEqual([record, { ...record, id: 'b' }])
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/)
    expect((await ask(['acct', '--format', 'json'], ndjson())).stdout).toBe('[]\n')
  })

  it('asks for what was asked', async () => {
    const { asked } = await ask(
      [
        'acct',
        '-j',
        '41,42',
        '-u',
        'alice',
        '-S',
        '2026-01-31',
        '--until=2026-02-01T10:30',
        '-s',
        'oom',
        '--image',
        'a/*?b',
      ],
      ndjson(),
    )
    const url = new URL((asked[0] ?? '').replace('GET ', 'http://x'))
    expect(Object.fromEntries(url.searchParams)).toEqual({
      job: '41,42',
      user: 'alice',
      since: '2026-01-31T00:00:00.000Z',
      until: '2026-02-01T10:30:00.000Z',
      state: 'OUT_OF_MEMORY',
      image: 'a/*?b',
    })
  })

  it('takes times without a zone for the caller’s own', async () => {
    const { asked } = await ask(['acct', '-S', '2026-01-31T00:00:00'], ndjson(), {
      TZ: 'Europe/Berlin',
    })
    expect(asked[0]).toBe('GET /v1/records?since=2026-01-30T23%3A00%3A00.000Z')
  })

  it('streams: prints the first records before the last has come', async () => {
    let seenAtHalf = 0
    let bytes = 0
    const count = 4000
    const fake = await startFakeDaemon({
      http: (_, reply) => {
        const half = `${JSON.stringify(record)}\n`.repeat(count / 2)
        reply.write(half)
        setTimeout(() => {
          seenAtHalf = bytes
          reply.end(half)
        }, 400)
      },
    })
    daemon = fake
    const { child, end } = startClient(client.path, fake.socketPath, ['acct', '-f', 'csv'])
    child.stdout?.on('data', (chunk: Buffer) => (bytes += chunk.length))
    const { status, stdout } = await end
    expect(status).toBe(0)
    expect(seenAtHalf).toBeGreaterThan(bytes / 3)
    expect(stdout.toString().split('\n')).toHaveLength(count + 2)
  })

  it('fails where the answer breaks off', async () => {
    const { status, stderr } = await ask(['acct'], (_, reply) => {
      reply.write(`${JSON.stringify(record)}\n{"id":`)
      setTimeout(() => reply.destroy(), 50)
    })
    expect(status).toBe(1)
    expect(stderr).toMatch(/^hepwrap: .*\(HW_DAEMON_LOST\)\n$/)
  })

  it('ends quietly where its reader goes away', async () => {
    const fake = await startFakeDaemon({
      http: (_, reply) => void reply.end(`${JSON.stringify(record)}\n`.repeat(20_000)),
    })
    daemon = fake
    const { child, end } = startClient(client.path, fake.socketPath, ['acct'], { holdStdout: true })
    child.stdout?.once('data', () => child.stdout?.destroy())
    expect(await end).toMatchObject({ status: 141, stderr: '' })
  })

  it('shows the daemon’s refusal', async () => {
    const { status, stderr } = await ask(
      ['acct'],
      json({ code: 'HW_ROOT_ONLY', message: 'no' }, 403),
    )
    expect({ status, stderr }).toEqual({ status: 1, stderr: 'hepwrap: no (HW_ROOT_ONLY)\n' })
  })
})

describe('explain', () => {
  it('explains a code as it is written in messages or by hand', async () => {
    for (const word of ['HW_OUTSIDE_JOB', '(HW_OUTSIDE_JOB)', 'outside_job']) {
      const { status, stdout } = await alone('explain', word)
      expect(status).toBe(0)
      expect(stdout).toContain(`HW_OUTSIDE_JOB (exit status 125)`)
      expect(stdout).toContain(REASONS.HW_OUTSIDE_JOB.meaning)
      expect(stdout).toContain(REASONS.HW_OUTSIDE_JOB.mend)
    }
  })

  it('lists all, and suggests for a code that is none', async () => {
    const { stdout } = await alone('explain')
    for (const code of Object.keys(REASONS)) expect(stdout).toMatch(new RegExp(`^${code} `, 'm'))
    expect(await alone('explain', 'HW_USAEG')).toEqual({
      status: 1,
      stdout: '',
      stderr: 'hepwrap: there is no reason code "HW_USAEG"; did you mean HW_USAGE? (HW_USAGE)\n',
    })
  })
})

describe('doctor', () => {
  it('lists the findings with their mend and fails where one does', async () => {
    const checks = [
      { name: 'engine', ok: true, detail: 'docker 20.10.24', mend: null },
      { name: 'ledger', ok: false, detail: 'disk full\u001b[2J', mend: 'make room' },
    ]
    const { status, stdout, asked } = await ask(['doctor'], json(checks))
    expect(asked).toEqual(['GET /v1/doctor'])
    expect(status).toBe(1)
    expect(stdout).toBe(
      'ok   engine             docker 20.10.24\nFAIL ledger             disk full [2J\n                        mend: make room\n',
    )
    expect((await ask(['doctor'], json(checks.slice(0, 1)))).status).toBe(0)
    expect(JSON.parse((await ask(['doctor', '--json'], json(checks))).stdout)).toEqual(checks)
  })

  it('finds that the daemon is down', async () => {
    const { status, stdout, stderr } = await alone('doctor')
    expect({ status, stderr }).toEqual({ status: 1, stderr: '' })
    expect(stdout).toMatch(
      /^FAIL daemon +hepwrapd does not answer on this node: \/nonexistent\/sock\n +mend: start it/,
    )
  })

  it('does not take a refusal for a finding', async () => {
    const { status, stderr } = await ask(
      ['doctor'],
      json({ code: 'HW_ROOT_ONLY', message: 'only root' }, 403),
    )
    expect({ status, stderr }).toEqual({ status: 1, stderr: 'hepwrap: only root (HW_ROOT_ONLY)\n' })
  })
})

describe('configure and clean', () => {
  const slurm = {
    SLURM_JOB_ID: '42',
    SLURM_JOB_UID: '1000',
    SLURM_JOB_USER: 'alice',
    SLURM_JOB_ACCOUNT: 'atlas',
    SLURM_JOB_PARTITION: 'main',
    SLURM_ARRAY_JOB_ID: '40',
    SLURM_ARRAY_TASK_ID: '0',
    SLURM_HET_JOB_OFFSET: '1',
    SLURM_RESTART_COUNT: '2',
    SLURM_JOB_SLUID: 'sEKNKTV3WPV500',
    SLURM_JOB_GPUS: '0,1',
    SLURM_JOB_END_TIME: '1800000000',
    SLURMD_NODENAME: 'n1',
  }

  it('announce what Slurm says of the job', async () => {
    const { status, stdout, stderr, asked } = await ask(['configure'], json(null, 204), slurm)
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' })
    const [, path, body] = /^PUT (\S+) (.*)$/.exec(asked[0] ?? '') ?? []
    expect(path).toBe('/v1/jobs/42')
    expect(JSON.parse(body ?? '')).toEqual({
      job_id: 42,
      uid: 1000,
      user: 'alice',
      account: 'atlas',
      partition: 'main',
      array_job_id: 40,
      array_task_id: 0,
      het_offset: 1,
      restart_count: 2,
      sluid: 'sEKNKTV3WPV500',
      gres: 'gpu:0,1',
      end_time: 1_800_000_000,
      node_name: 'n1',
    })
  })

  it('leave out what is absent or malformed', async () => {
    const { asked } = await ask(['configure'], json(null), {
      SLURM_JOB_ID: '42',
      SLURM_JOB_UID: 'root',
      SLURM_JOB_USER: '',
      SLURM_JOB_ACCOUNT: 'a\nb',
      SLURM_ARRAY_TASK_ID: '4294967294',
      SLURM_RESTART_COUNT: '-1',
      SLURM_JOB_END_TIME: '1e9',
    })
    expect(asked).toEqual(['PUT /v1/jobs/42 {"job_id":42}'])
  })

  it.each(['', '0', '-1', '4294967295', '42abc', '../1', '1'.repeat(11)])(
    'refuse the job id %j',
    async (id) => {
      const { status, stderr, asked } = await ask(['clean'], json({}), { SLURM_JOB_ID: id })
      expect(asked).toEqual([])
      expect(status).toBe(1)
      expect(stderr).toContain('is not the id of a job (HW_USAGE)')
    },
  )

  it('end the job, and say what is still alive', async () => {
    const ended = await ask(['clean'], json({ ended: 2, alive: [] }), slurm)
    expect(ended).toEqual({ status: 0, stdout: '', stderr: '', asked: ['DELETE /v1/jobs/42'] })
    const alive = await ask(['clean'], json({ ended: 0, alive: ['a1', 'b2'] }), slurm)
    expect(alive).toMatchObject({
      status: 1,
      stdout: 'alive a1 b2\n',
      stderr: 'hepwrap: 2 container(s) of job 42 could not be ended (HW_ENGINE_FAILED)\n',
    })
  })
})
