// `hepwrap acct` as a process: sacct's manners, the aggregator and the node's ledger, and a million records.
import { readFileSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { UsageRecord } from '../../../src/wire/usage-api.js'
import { buildClient, type BuiltClient } from './support/built-client.js'
import { startClient } from './support/client-process.js'
import {
  sendJson,
  sendLines,
  startFakeAggregator,
  type Answer,
  type FakeAggregator,
} from './support/fake-aggregator.js'
import { startFakeDaemon, type FakeDaemon } from './support/fake-daemon.js'
import { someRecord } from './support/some-record.js'

let client: BuiltClient
let aggregator: FakeAggregator | undefined
let daemon: FakeDaemon | undefined
beforeAll(async () => {
  client = await buildClient()
})
afterAll(() => client.remove())
afterEach(async () => {
  await aggregator?.stop()
  await daemon?.stop()
  aggregator = daemon = undefined
})

const start = async (answer: Answer): Promise<FakeAggregator> =>
  (aggregator = await startFakeAggregator(answer))

/** `hepwrap acct ARGS` against an aggregator that has these records. */
async function acct(args: readonly string[], records: readonly UsageRecord[] = [someRecord]) {
  const { env, asked } = await start((_, reply) => sendLines(reply, records))
  const { status, stdout, stderr } = await startClient(
    client.path,
    '/nonexistent/sock',
    ['acct', ...args],
    { env },
  ).end
  await aggregator?.stop()
  aggregator = undefined
  return { status, stdout: stdout.toString(), stderr, asked }
}

const lines = (text: string) => text.trimEnd().split('\n')

describe("sacct's manners", () => {
  it('lists the fields that are asked for, in their order and width', async () => {
    const { stdout, stderr } = await acct(['--format', 'JobID,user%6,state%-4,elapsed,image%12'])
    expect(stderr).toBe('')
    expect(lines(stdout)).toEqual([
      'JobID          User   Sta+    Elapsed Image',
      '42.0           alice  COM+   00:01:00 registry.ex+',
    ])
  })

  it('-P cuts nothing, -n leaves the head out, -o is --format', async () => {
    const { stdout } = await acct([
      '-P',
      '-n',
      '-o',
      'id,jobid,totalcpu,cputime,cputimeraw,efficiency,image',
    ])
    expect(stdout).toBe(
      '0123456789abcdef0123456789abcdef|42.0|01:30.000|00:02:00|120|75.0%|registry.example/atlas/analysis:1.2.3\n',
    )
  })

  it('-P without a list has the fields of the table', async () => {
    const { stdout } = await acct(['-P'])
    expect(lines(stdout)[0]).toBe(
      'ID|JobID|User|Account|Node|Image|State|ExitCode|Start|Elapsed|TotalCPU|MaxMem|Reason',
    )
  })

  it('programs get exact values: json and csv of a list', async () => {
    const list = 'jobid,start,totalcpu,maxmem,efficiency,diskwrite,labels'
    const { stdout } = await acct(['--json', '--format', list])
    expect(JSON.parse(stdout)).toEqual([
      {
        JobID: '42.0',
        Start: '2026-01-31T12:00:01.500Z',
        TotalCPU: 90,
        MaxMem: 1_610_612_736,
        Efficiency: 0.75,
        DiskWrite: null,
        labels: { k: 'v' },
      },
    ])
    const csv = await acct(['--csv', '-o', list])
    expect(csv.stdout).toBe(
      'JobID,Start,TotalCPU,MaxMem,Efficiency,DiskWrite,labels\n42.0,2026-01-31T12:00:01.500Z,90,1610612736,0.75,,"{""k"":""v""}"\n',
    )
  })

  it('--json and --csv alone are the records', async () => {
    expect(JSON.parse((await acct(['--json'])).stdout)).toEqual([someRecord])
    expect(lines((await acct(['--csv'])).stdout)[0]).toMatch(/^id,cluster,node,job_id,/)
  })

  it('names jobs of arrays as Slurm does, and raw as they are', async () => {
    const task = { ...someRecord, job_id: 47, array_job_id: 40, array_task_id: 7, step_id: 'batch' }
    const none = { ...someRecord, job_id: null, step_id: null }
    const { stdout } = await acct(['-Pno', 'jobid,jobidraw'], [task, none])
    expect(stdout).toBe('40_7.batch|47.batch\n|\n')
  })

  it('says nothing where nothing is known', async () => {
    const refused: UsageRecord = {
      ...someRecord,
      state: 'REFUSED',
      started_at: null,
      cpu_user_usec: null,
      cpu_system_usec: null,
      memory_peak_bytes: null,
      exit_code: null,
      cpus: null,
    }
    const { stdout } = await acct(
      ['-Pno', 'state,elapsed,totalcpu,cputime,efficiency,maxmem,exitcode'],
      [refused],
    )
    expect(stdout).toBe('REFUSED||||||\n')
  })

  it.each([
    ['usercpu', { cpu_user_usec: 1500 }, '00:00.001'],
    ['totalcpu', { cpu_user_usec: 3_600_000_000, cpu_system_usec: 0 }, '01:00:00'],
    ['totalcpu', { cpu_user_usec: 90_000_000_000, cpu_system_usec: null }, '1-01:00:00'],
    ['elapsed', { ended_at: '2026-02-02T13:01:06.600Z' }, '2-01:01:05'],
    ['maxmem', { memory_peak_bytes: 0 }, '0'],
  ])('%s of %j is %s', async (field, change, wanted) => {
    const { stdout } = await acct(['-Pno', field], [{ ...someRecord, ...change }])
    expect(stdout).toBe(`${wanted}\n`)
  })

  it('--helpformat lists the fields, and asks nobody', async () => {
    const { stdout, asked, status } = await acct(['-e'])
    expect({ asked, status }).toEqual({ asked: [], status: 0 })
    expect(lines(stdout)[0]).toBe(
      'ID                  JobID               JobIDRaw            JobName',
    )
    expect(stdout).toMatch(/\bmemory_limit_bytes\b/)
  })

  it('asks for what was asked, in sacct’s words', async () => {
    const { asked } = await acct([
      ...['--starttime', '2026-01-31', '--endtime', '2026-02-01T10:30', '-A', 'atlas,cms'],
      ...[
        '-N',
        'n*',
        '-M',
        'hepp',
        '-r',
        'main',
        '--uid=alice,2002',
        '-s',
        'f,TO',
        '--jobs',
        '1,2',
      ],
    ])
    expect(asked).toHaveLength(1)
    const url = new URL(asked[0]!.replace('GET ', 'http://x'))
    expect(url.pathname).toBe('/v1/records')
    expect(Object.fromEntries(url.searchParams)).toEqual({
      since: '2026-01-31T00:00:00.000Z',
      until: '2026-02-01T10:30:00.000Z',
      account: 'atlas,cms',
      node: 'n*',
      cluster: 'hepp',
      partition: 'main',
      user: 'alice,2002',
      state: 'FAILED,TIMEOUT',
      job: '1,2',
    })
  })

  it.each([
    [
      ['--format', 'jobid,usr'],
      '--format "usr": no such field; did you mean "User"?',
      'HW_OPTION_INVALID',
    ],
    [
      ['--format', 'jobid,maxrss'],
      '--format "maxrss": no such field; see --helpformat',
      'HW_OPTION_INVALID',
    ],
    [['--format', ','], '--format "": names no field', 'HW_OPTION_INVALID'],
    [
      ['-s', 'FAILED,x'],
      '--state "FAILED,x": must be one of RUNNING, COMPLETED',
      'HW_OPTION_INVALID',
    ],
    [['-A', 'a,,b'], '--account "a,,b": has an empty name in its list', 'HW_OPTION_INVALID'],
    [['-S', 'yesterdya'], '--since "yesterdya": not a time like', 'HW_OPTION_INVALID'],
    [
      ['-S', '2026-02-01', '-E', '2026-01-01'],
      '--until "2026-01-01": is before --since (2026-02-01T00:00:00.000Z)',
      'HW_OPTION_INVALID',
    ],
    [['--csv', '--json'], 'the output is to be csv and json: choose one', 'HW_USAGE'],
    [
      ['--aggregator', 'acct.example'],
      'the aggregator "acct.example" must be an http:// or https:// address',
      'HW_OPTION_INVALID',
    ],
    [
      ['--local', '--aggregator', 'http://x'],
      '--local and --aggregator "http://x": choose one',
      'HW_USAGE',
    ],
  ])('%j is refused in one line', async (args, text, code) => {
    const { status, stdout, stderr, asked } = await acct(args)
    expect({ status, stdout, asked }).toEqual({ status: 1, stdout: '', asked: [] })
    expect(stderr.startsWith(`hepwrap: ${text}`), stderr).toBe(true)
    expect(stderr).toMatch(new RegExp(`\\(${code}\\)\\n$`))
  })
})

describe('which records', () => {
  const ask = (
    args: readonly string[],
    env: Record<string, string>,
    socketPath = '/nonexistent/sock',
  ) => startClient(client.path, socketPath, ['acct', '-Pno', 'id', ...args], { env }).end

  it('are those of the configured aggregator, with a token of one’s own', async () => {
    const { env, url, directory, asked } = await start((_, reply) => sendLines(reply, [someRecord]))
    const config = join(directory, 'hepwrapd.toml')
    const token = env['HEPWRAP_TOKEN_FILE'] ?? ''
    writeFileSync(
      config,
      `[accounting]\naggregator = "${url}"\nauth = "token"\ntoken_file = "/etc/hepwrap/node.token"\n`,
    )
    const { status, stderr } = await ask(['--config', config, '--token-file', token], {})
    expect({ status, stderr, asked }).toEqual({
      status: 0,
      stderr: '',
      asked: ['GET /v1/records?'],
    })
    const without = await ask(['--config', config], {})
    expect(without.status).toBe(1)
    expect(without.stderr).toBe(
      `hepwrap: the aggregator "${url}" wants a token: give yours by --token-file FILE or HEPWRAP_TOKEN_FILE (HW_USAGE)\n`,
    )
  })

  it('--local: are those of the node, filtered by what its ledger does not know', async () => {
    const { env, asked } = await start((_, reply) => sendLines(reply, []))
    const records = [
      someRecord,
      { ...someRecord, id: 'b', account: 'cms' },
      { ...someRecord, id: 'c', account: null },
      { ...someRecord, id: 'd', user: 'bob', uid: 2002 },
    ]
    const wanted: string[] = []
    daemon = await startFakeDaemon({
      http: (request, reply) => {
        wanted.push(decodeURIComponent(String(request.url)))
        sendLines(reply, records)
      },
    })
    const args = ['--local', '-A', 'at*', '-u', 'alice,2003', '--image', 'r*']
    const { stdout } = await ask(args, env, daemon.socketPath)
    expect(stdout.toString()).toBe(`${someRecord.id}\n`)
    expect({ wanted, asked }).toEqual({ wanted: ['/v1/records?image=r*'], asked: [] })
  })

  it('the aggregator is down: says so, and what to do instead', async () => {
    const gone = await startFakeAggregator(() => undefined)
    await gone.stop()
    const { env } = await start(() => undefined)
    const { status, stdout, stderr } = await ask([], { ...env, HEPWRAP_AGGREGATOR: gone.url })
    expect({ status, stdout: stdout.toString() }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toMatch(
      /^hepwrap: the aggregator "http:\/\/127[^\n]*ECONNREFUSED[^\n]*"hepwrap acct --local" shows what this node itself knows \(HW_AGGREGATOR_DOWN\)\n$/,
    )
  })

  it('the aggregator breaks off: fails in one line', async () => {
    const { env } = await start((_, reply) => {
      reply.write(`${JSON.stringify(someRecord)}\n{"id":`)
      setTimeout(() => reply.destroy(), 50)
    })
    const { status, stdout, stderr } = await ask([], env)
    expect(status).toBe(1)
    expect(stderr).toMatch(
      /^hepwrap: the aggregator http:\S+ broke off its reply; .*\(HW_AGGREGATOR_DOWN\)\n$/,
    )
    expect(stdout.toString()).toBe('')
  })

  it('a refusal is shown as it came', async () => {
    const { env } = await start((_, reply) =>
      sendJson(reply, { error: { code: 'HW_OPTION_INVALID', message: 'job "x": no' } }, 400),
    )
    const { status, stderr } = await ask([], env)
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: 'hepwrap: job "x": no (HW_OPTION_INVALID)\n',
    })
  })

  it('--allusers is for operators alone', async () => {
    const { env, asked } = await start((url, reply) =>
      url.pathname === '/v1/whoami'
        ? sendJson(reply, { user: 'alice', uid: 2001, operator: false })
        : sendLines(reply, [someRecord]),
    )
    const { status, stderr } = await ask(['-a'], env)
    expect({ status, asked }).toEqual({ status: 1, asked: ['GET /v1/whoami'] })
    expect(stderr).toBe(
      "hepwrap: --allusers: other users' records are for operators alone (HW_NOT_OPERATOR)\n",
    )
  })
})

describe('a million records', () => {
  const MILLION = 1_000_000

  /** Sends them as fast as they are taken, and no faster. */
  async function sendMillion(reply: ServerResponse): Promise<void> {
    reply.writeHead(200, { 'content-type': 'application/x-ndjson' })
    for (let sent = 0; sent < MILLION; sent += 1000) {
      const piece = Array.from({ length: 1000 }, (_, at) =>
        JSON.stringify({ ...someRecord, job_id: sent + at + 1 }),
      )
      if (!reply.write(`${piece.join('\n')}\n`)) await once(reply, 'drain')
    }
    reply.end()
  }

  it('are printed without a million records in memory', { timeout: 180_000 }, async () => {
    const { env, directory } = await start((_, reply) => void sendMillion(reply))
    const peakFile = join(directory, 'peak')
    const preload = join(directory, 'peak.cjs')
    writeFileSync(
      preload,
      `process.on('exit', () => require('fs').writeFileSync(${JSON.stringify(peakFile)}, String(process.resourceUsage().maxRSS)))`,
    )
    const { child, end } = startClient(client.path, '/nonexistent/sock', ['acct'], {
      env: { ...env, NODE_OPTIONS: `--require ${preload}` },
      holdStdout: true,
    })
    let newlines = 0
    let bytes = 0
    child.stdout?.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      for (const byte of chunk) if (byte === 10) newlines++
    })
    const { status, stderr } = await end
    const peakMib = Number(readFileSync(peakFile, 'utf8')) / 1024
    console.info(
      `acct: ${newlines} lines, ${Math.round(bytes / 2 ** 20)} MiB, peak RSS ${Math.round(peakMib)} MiB`,
    )
    expect({ status, stderr, newlines }).toEqual({ status: 0, stderr: '', newlines: MILLION + 1 })
    expect(peakMib).toBeLessThan(200)
  })

  it('end cleanly where the reader has gone: acct | head', async () => {
    const { env } = await start((_, reply) => void sendMillion(reply))
    const { child, end } = startClient(client.path, '/nonexistent/sock', ['acct'], {
      env,
      holdStdout: true,
    })
    child.stdout?.once('data', () => child.stdout?.destroy())
    expect(await end).toMatchObject({ status: 141, stderr: '' })
  })
})
