// What a request asks for by its URL, and what of it comes back in a message.
import { expect } from 'vitest'
import { holdRun } from '../slurm/held-run.js'
import { hepwrap } from '../slurm/job-runs.js'
import { UPGRADE } from '../slurm/raw-request.js'
import { as, expectSuccess } from '../world/world.js'
import { attack } from './attack.js'
import { get, post } from './http.js'
import { attempt, expectBobServed, expectRefused, shared, watchDaemon } from './watched-daemon.js'

const watched = watchDaemon()

attack(
  'X11',
  'CVE-2021-41773',
  'no spelling of a path leads out of one’s own containers',
  async () => {
    const held = await holdRun('bob', ['srun', ...shared])
    const [id] = watched
      .rows(2002)
      .filter((row) => row['state'] === 'RUNNING')
      .map((row) => String(row['id']))
    const spellings = [
      id!,
      id!.slice(0, 12),
      `${id!}%00`,
      `..%2f..%2fv1%2fcontainers%2f${id!}`,
      `../containers/${id!}`,
      `%2e%2e/containers/${id!}`,
      `.%2e%2fcontainers%2f${id!}`,
      `${id!}/`,
      `;/${id!}`,
      `${id!}%20`,
      id!.toUpperCase(),
      '%',
      '%zz',
      '%c0%ae%c0%ae',
      '%ff',
      '*',
      '%2a',
      '.*',
      '',
      '__proto__',
      'constructor',
      `abcd' OR '1'='1`.replaceAll(' ', '%20'),
    ]
    const targets = spellings.flatMap((one) =>
      ['kill', 'stop'].map((verb) => `/v1/containers/${one}/${verb}`),
    )
    const verdicts = await attempt(targets.map((target) => post(target, '{}', 'application/json')))
    expectRefused(verdicts, 400, 404)
    for (const { text } of verdicts) expect(text).not.toContain('bob')
    await held.release() // it ended by itself, with status 0
    expect(watched.rows(2002).at(-1)).toMatchObject({ state: 'COMPLETED' })
  },
)

attack('X12', 'own', 'queries that say a thing twice, nested, or of Object’s own', async () => {
  const queries = [
    'user=alice&user=bob',
    'user[]=bob',
    'user[$ne]=x',
    '__proto__[uid]=0',
    'constructor[prototype][uid]=0',
    '__proto__=x',
    'uid=0',
    'scope=0',
    'user=%00',
    'job=1%27',
    'user=',
    'state=RUNNING%00',
    'since=%2b1',
    `image=${'%2a'.repeat(1025)}`,
    Array.from({ length: 2000 }, (_, index) => `a${index}=b`).join('&'),
  ]
  await hepwrap('bob', ['ps'])
  const verdicts = await attempt(queries.map((query) => get(`/v1/records?${query}`)))
  for (const { statuses, isClosed, text } of verdicts) {
    expect(isClosed, text).toBe(true)
    expect([[200], [400]], text).toContainEqual(statuses)
    expect(text).not.toMatch(/"uid":(?!2001)/)
  }
  await expectBobServed()
})

attack(
  'X14',
  'CWE-113',
  'what is echoed in a message splits no reply and steers no terminal',
  async () => {
    const poison = '%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a%1b[2J%e2%80%ae%c2%9b'
    const verdicts = await attempt([
      post(`/v1/containers/${poison}/kill`, '{}', 'application/json'),
      post('/v1/containers/abcd/kill', '{"signal":"\\r\\nX: y\\u001b"}', 'application/json'),
      get(`/v1/${poison}`),
      get(`/v1/records?state=${poison}`),
      get(`/v1/records?since=${poison}`),
      Buffer.from(UPGRADE.replace('/v1/runs', `/v1/${poison}\u009b`), 'latin1'),
    ])
    expectRefused(verdicts, 400, 404)
    for (const { text } of verdicts) {
      expect(text.split('\r\n\r\n')).toHaveLength(2)
      expect(text).not.toMatch(/^Set-Cookie|^X: y/m)
      expect(text).not.toMatch(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202e]/)
    }
    const words = ['\u001b[2J\nfake: line', '\u202eevil', '\u009b31m', '\u2028x']
    for (const word of words) {
      const { stderr } = await as('alice').run(['hepwrap', 'kill', word])
      expect(stderr.trimEnd()).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u202e]/)
      expect(stderr).toMatch(/^hepwrap: .*\(HW_[A-Z_]+\)\n$/)
    }
    expectSuccess(await as('bob').run(['hepwrap', 'ps']))
  },
)
