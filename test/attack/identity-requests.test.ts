// Nothing that a request says names a user or a job: not headers, queries, ids of others, labels, or a second request on one connection.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect } from 'vitest'
import { FRAME, frame } from '../../src/wire/frames.js'
import type { RunRequest } from '../../src/wire/run-api.js'
import { type HeldRun, holdRun } from '../slurm/held-run.js'
import { bareRequest, runBytes, sendAll, sendRaw, UPGRADE } from '../slurm/raw-request.js'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { containers, leftovers, nothing, processes } from '../world/traces.js'
import { as, expectSuccess } from '../world/world.js'
import { attack } from './attack.js'

const shared = ['srun', '-Q', '-p', 'shared']
let daemon: Daemon
let victim: HeldRun
let id = ''
let job = ''
const rows = () => daemon.ledgerRows('select * from records order by seq')

// Bob's container runs while alice tries what she can.
beforeAll(async () => {
  daemon = await startDaemon()
  victim = await holdRun('bob', shared, ['--name', 'treasure', '--label', 'secret=of-bob'])
  id = (await containers())[0]!.Labels['hepwrap.run']!
  job = String(rows()[0]!['job_id'])
})
afterAll(async () => {
  expect(processes(/^cat$/).map(({ pid }) => pid)).toContain(victim.payloadPid)
  expect(victim.status('State')).toMatch(/^S/)
  await victim.release()
  expect(await leftovers()).toEqual(nothing)
  await stopDaemons()
  expect(daemon.logText()).not.toMatch(/"level":(50|60)/)
})

const asked = (method: string, path: string, body?: object, more = '', last = true) => {
  const text = body === undefined ? '' : JSON.stringify(body)
  const length =
    body === undefined
      ? ''
      : `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n`
  return `${method} ${path} HTTP/1.1\r\nHost: a\r\n${last ? 'Connection: close\r\n' : ''}${length}${more}\r\n${text}`
}
const statusOf = (text: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1])
const expectNothingOfBobs = (text: string) => {
  expect(text).not.toMatch(
    new RegExp(`treasure|of-bob|"user":"bob"|"uid":2002|"id":"${id}|"job_id":${job}\\b`),
  )
}
const rowsOf = (uid: number) => rows().filter((row) => row['uid'] === uid)

attack(
  'I22',
  'own',
  "stop and kill of another's run by id, prefix, name, container id, glob, encoding and path tricks",
  async () => {
    const engineId = (await containers())[0]!.Id
    const names = [
      ...[
        id,
        id.slice(0, 8),
        id.slice(0, 4),
        id.toUpperCase(),
        `${id}%00`,
        `${id}%20`,
        'treasure',
        'TREASURE',
        engineId,
      ],
      ...[
        '*',
        '%2A',
        '?',
        '%3F',
        '[0-9a-f]*',
        '.*',
        '%25',
        '_',
        `hepwrap-${id}`,
        'of-bob',
        'secret=of-bob',
        '0',
        '-1',
        job,
      ],
      ...[
        '..%2F..%2Fv1%2Fjobs',
        `..%2Fcontainers%2F${id}`,
        '%',
        '%zz',
        '',
        'a'.repeat(255),
        'a'.repeat(300),
        "'%20OR%201=1--",
      ],
    ]
    const words = names.flatMap((name) => [
      asked('POST', `/v1/containers/${name}/stop`, {}),
      asked('POST', `/v1/containers/${name}/kill`, { signal: 'SIGKILL' }),
      asked('POST', `/v1/containers/${name}/kill?uid=0&user=bob`, {}),
    ])
    for (const [index, { text }] of (await sendAll('alice', words)).entries()) {
      const label = `${words[index]!.split('\r')[0]} ${text}`
      expect([400, 404, 414], label).toContain(statusOf(text))
      expectNothingOfBobs(text.replaceAll(`"${id}"`, '').replaceAll(/quoted|you have no[^}]*/g, ''))
    }
    expect(victim.status('State')).toMatch(/^S/)
  },
)

attack('I23', 'own', 'headers that claim another user, job or peer, on every route', async () => {
  const claims = [
    ...[
      'X-Remote-User: bob',
      'X-Forwarded-User: root',
      'X-Remote-Uid: 0',
      'Authorization: Basic cm9vdDo=',
      'Cookie: uid=0',
    ],
    ...[
      'X-Hepwrap-Uid: 0',
      'X-Slurm-Job-Id: 1',
      'Forwarded: for=root',
      'X-HTTP-Method-Override: DELETE',
      'From: bob',
    ],
  ]
  const headers = claims.map((claim) => `${claim}\r\n`).join('')
  const routes = [
    asked('GET', '/v1/containers?all=true', undefined, headers),
    asked('GET', '/v1/records', undefined, headers),
    asked('GET', '/v1/doctor', undefined, headers),
    asked('DELETE', `/v1/jobs/${job}`, undefined, headers),
    asked('PUT', `/v1/jobs/${job}`, { job_id: Number(job), uid: 2001 }, headers),
    asked('POST', `/v1/containers/${id}/stop`, {}, headers),
  ]
  const answers = await sendAll('alice', routes)
  expect(answers.map(({ text }) => statusOf(text))).toEqual([200, 200, 403, 403, 403, 404])
  for (const { text } of answers.slice(0, 3)) expectNothingOfBobs(text)
})

attack(
  'I24',
  'CWE-235',
  'queries and bodies that ask for the records and containers of others',
  async () => {
    const queries = [
      'user=bob',
      'uid=2002',
      'user=2002',
      'user=*',
      'user=',
      'user=alice&user=bob',
      'user[]=bob',
      'job=' + job,
      'image=*',
      'state=R',
    ]
    const words = [
      ...queries.flatMap((query) => [
        asked('GET', `/v1/records?${query}`),
        asked('GET', `/v1/containers?all=true&${query}`),
      ]),
      asked('GET', '/v1/containers?all=true', { uid: 2002 }),
      asked('GET', `/v1/records/${id}`),
      asked('GET', `/v1/containers/${id}`),
    ]
    for (const [index, { text }] of (await sendAll('alice', words)).entries()) {
      expect([200, 400, 404], words[index]).toContain(statusOf(text))
      expectNothingOfBobs(text.replaceAll(/there is no[^}]*/g, ''))
    }
  },
)

attack(
  'I25',
  'own',
  'a run asked for in the name of a job, by query, path, header or field',
  async () => {
    const claim = (words: string, more: object = {}) =>
      Buffer.concat([Buffer.from(words), frame(FRAME.request, { ...bareRequest(), ...more })])
    const words = [
      claim(UPGRADE.replace('/v1/runs', `/v1/runs?job_id=${job}&uid=0`)),
      claim(UPGRADE.replace('/v1/runs', `/v1/runs/${job}`)),
      claim(UPGRADE.replace('/v1/runs', `http://root@localhost/v1/runs`)),
      claim(UPGRADE, { job_id: Number(job) }),
      claim(UPGRADE, { step_id: 'batch' }),
      claim(UPGRADE.replace('\r\n\r\n', `\r\nX-Job-Id: ${job}\r\n\r\n`)),
    ]
    const answers = await sendAll('alice', words)
    expect(answers.slice(0, 3).map(({ text }) => statusOf(text))).toEqual([404, 404, 404])
    const hers = rowsOf(2001).slice(-3)
    expect(hers.map(({ state }) => state).sort()).toEqual(['COMPLETED', 'REFUSED', 'REFUSED'])
    for (const row of hers) expect(String(row['job_id'])).not.toBe(job)
  },
)

attack(
  'I26',
  'CVE-2018-1002105',
  'an upgrade behind another request on one connection, and two upgrades',
  async () => {
    const run = (more: Partial<RunRequest>) => runBytes(bareRequest(more))
    const first = asked('GET', '/v1/containers', undefined, '', false)
    const count = rowsOf(2001).length
    const piped = Buffer.concat([Buffer.from(first), run({ command: ['id', '-u'] })])
    const doubled = Buffer.concat([
      run({ command: ['id', '-u'] }),
      run({ command: ['id', '-u'], name: 'second' }),
    ])
    const admin = Buffer.concat([
      run({ command: ['id', '-u'] }),
      Buffer.from(asked('DELETE', `/v1/jobs/${job}`)),
    ])
    const answers = await sendAll('alice', [piped, doubled, admin])
    for (const { isClosed, text } of answers) {
      expect(isClosed).toBe(true)
      expect([...text.matchAll(/"opened"/g)].length).toBeLessThanOrEqual(1)
      expectNothingOfBobs(text)
    }
    const hers = rowsOf(2001).slice(count)
    expect(hers.length).toBeLessThanOrEqual(3)
    for (const row of hers) expect(row).toMatchObject({ user: 'alice', name: null })
  },
)

attack(
  'I27',
  'own',
  'configure, clean and doctor by a user in a job, with the environment of a prolog',
  async () => {
    const env = [
      'env',
      `SLURM_JOB_ID=${job}`,
      'SLURM_JOB_UID=2001',
      'SLURM_JOB_USER=alice',
      'SLURM_JOB_ACCOUNT=rich',
      'SLURM_SCRIPT_CONTEXT=prolog_slurmd',
      'USER=root',
      'HOME=/root',
      'UID=0',
    ]
    const facts = () => readFileSync(`${daemon.runDirectory}/jobs/${job}.json`, 'utf8')
    const announced = facts()
    for (const verb of ['configure', 'clean', 'doctor']) {
      const { status, stdout, stderr } = await as('alice').run([...shared, ...env, 'hepwrap', verb])
      expect({ status, stdout }, verb).toEqual({ status: 1, stdout: '' })
      expect(stderr, verb).toMatch(/\(HW_ROOT_ONLY\)/)
    }
    for (const hook of ['prolog', 'epilog'])
      await as('alice').run([...shared, ...env, `/opt/hepwrap/${hook}/hepwrap-${hook}`])
    expect(facts()).toBe(announced)
    expect(victim.status('State')).toMatch(/^S/)
  },
)

attack(
  'I28',
  'own',
  "bob's names and hepwrap's own labels on her run, for ps and stop to mistake",
  async () => {
    const labels = [
      ['hepwrap.run', id],
      ['hepwrap.uid', '2002'],
      ['hepwrap.node', 'x'],
      ['__proto__', 'x'],
    ]
    const bytes = labels.map(([key, value]) =>
      runBytes(
        JSON.stringify(bareRequest()).replace('"labels":{}', `"labels":{"${key}":"${value}"}`),
      ),
    )
    for (const { text } of await sendAll('alice', bytes))
      expect(text).toContain('HW_OPTION_INVALID')
    const hers = await holdRun('alice', shared, ['--name', 'treasure', '--label', 'user=bob'])
    const { stdout } = expectSuccess(await as('alice').run(['hepwrap', 'stop', 'treasure']))
    expect(stdout).not.toContain(id)
    expect((await hers.result).status).not.toBe(0)
    expect(victim.status('State')).toMatch(/^S/)
    expect((await as('bob').run(['hepwrap', 'ps'])).stdout).toContain('treasure')
  },
)

attack(
  'I29',
  'own',
  'an environment that claims everything: SLURM_*, HEPWRAP_*, USER, by -e, --host-env and the client',
  async () => {
    const claims = {
      SLURM_JOB_ID: job,
      SLURM_JOB_UID: '0',
      SLURM_STEP_ID: '9',
      HEPWRAP_UID: '0',
      HEPWRAP_JOB_ID: job,
      USER: 'bob',
      LOGNAME: 'bob',
      HOME: '/home/bob',
      SUDO_UID: '0',
    }
    const text = JSON.stringify(
      bareRequest({
        env: claims,
        host_env: claims,
        all_host_env: true,
        home: '/home/bob',
        command: ['sh', '-c', 'id -u; whoami; cat /proc/self/cgroup'],
      }),
    )
    const { text: answer } = await sendRaw('alice', runBytes(text))
    expect(answer).toContain('2001\n')
    expect(answer).toContain('alice\n')
    expect(answer).not.toContain(`/job_${job}/`)
    expect(rowsOf(2001).at(-1)).toMatchObject({
      uid: 2001,
      gid: 2001,
      user: 'alice',
      state: 'COMPLETED',
      step_id: '0',
    })
    expect(String(rowsOf(2001).at(-1)!['job_id'])).not.toBe(job)
  },
)

attack(
  'I30',
  'CVE-2020-15257',
  'abstract sockets of daemon or engine, reachable from a container on the network of the host',
  async () => {
    const { stdout } = expectSuccess(
      await as('alice').run([
        ...shared,
        'hepwrap',
        'run',
        '--network',
        'host',
        'busybox:test',
        'cat',
        '/proc/net/unix',
      ]),
    )
    expect(stdout).toContain('Path')
    // The kernel's autobound names of clients ("@22ed8") listen to nobody.
    const listening = stdout
      .split('\n')
      .filter((line) => line.includes('@') && line.split(' ')[3] === '00010000')
    expect(listening).toEqual([])
  },
)
