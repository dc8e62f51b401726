// Reading: what somebody else has run, by filters that say more than they should; and asking so that the daemon never ends.
import { expect } from 'vitest'
import { hepwrap, hepwrapRun, records, recordNamed } from '../slurm/job-runs.js'
import { holdRun } from '../slurm/held-run.js'
import { bareRequest, runBytes } from '../slurm/raw-request.js'
import { as, expectSuccess } from '../world/world.js'
import { attack } from './attack.js'
import { get } from './http.js'
import {
  attempt,
  expectAllRefused,
  expectBobServed,
  shared,
  watchDaemon,
} from './watched-daemon.js'

const watched = watchDaemon()

const uids = (text: string) => [...text.matchAll(/"uid":(-?\d+)/g)].map(([, uid]) => uid)

attack(
  'A08',
  'CWE-89',
  'SQL in each filter reads no record of another user, and changes none',
  async () => {
    await expectBobServed()
    await hepwrapRun('alice', ['--name', 'mine', 'busybox:test', 'true'], {
      slurm: shared.slice(1),
    })
    const before = await records('root')
    const words = [
      "' OR '1'='1",
      "' OR 1=1 --",
      "x' UNION SELECT * FROM records --",
      "'; DROP TABLE records; --",
      "'; UPDATE records SET cpu_user_usec=0; --",
      '" OR ""="',
      '@scope',
      '?1',
      ':uid',
      '1 OR 1',
      '2001 OR uid=2002',
      '2002',
      'bob',
      'alice,bob',
      '*',
      '%',
      '[a-z]*',
      "bob'/*",
    ]
    const fields = ['user', 'job', 'state', 'since', 'until', 'image']
    const queries = fields.flatMap((field) =>
      words.map((word) => `${field}=${encodeURIComponent(word)}`),
    )
    const verdicts = await attempt(
      queries.map((query) => get(`/v1/records?${query}`)),
      30,
    )
    for (const { statuses, text } of verdicts) {
      expect([[200], [400]], text).toContainEqual(statuses)
      for (const uid of uids(text)) expect(uid, text).toBe('2001')
      expect(text).not.toMatch(/SQLITE|syntax error|near "/i)
    }
    for (const word of words)
      for (const field of ['user', 'image', 'job', 'state'])
        expect(
          uids(
            (await as('alice').run(['hepwrap', 'acct', `--${field}`, word, '-f', 'json'])).stdout,
          ).every((uid) => uid === '2001'),
        ).toBe(true)
    expect(await records('root')).toEqual(before)
  },
  120_000,
)

attack(
  'A09',
  'own',
  'records of another’s job, container and name are as absent as those that never were',
  async () => {
    const held = await holdRun('bob', ['srun', ...shared], ['--name', 'bobs-own'])
    const { id, job_id: jobId } = await recordNamed('bobs-own', /RUNNING/)
    const ask = (...args: string[]) => hepwrap('alice', args)
    for (const filter of [
      ['--job', String(jobId)],
      ['--user', 'bob'],
      ['--user', '2002'],
      ['--state', 'RUNNING'],
    ])
      expect(JSON.parse((await ask('acct', ...filter, '-f', 'json')).stdout)).toEqual([])
    for (const args of [['ps'], ['ps', '-a']])
      expect((await ask(...args)).stdout).not.toMatch(/bobs-own|bob /)
    const never = (await ask('kill', 'f'.repeat(32))).stderr.replace('f'.repeat(32), 'X')
    for (const wanted of [id, id.slice(0, 4), 'bobs-own']) {
      const { status, stderr } = await ask('kill', wanted)
      expect({ status, stderr: stderr.replace(wanted, 'X') }).toEqual({ status: 1, stderr: never })
      expect((await ask('stop', wanted)).stderr.replace(wanted, 'X')).toBe(never)
    }
    await held.release()
    expect(watched.rows(2002).at(-1)).toMatchObject({ state: 'COMPLETED', exit_code: 0 })
  },
)

attack(
  'A10',
  'CVE-2019-19244',
  'globs of many stars over long names end, and others are served meanwhile',
  async () => {
    const long = 'a'.repeat(1000)
    expectAllRefused(
      await attempt(Array<Buffer>(300).fill(runBytes(bareRequest({ image: long }))), 40),
    )
    const stars = `${'*a'.repeat(500)}*b`
    const globs = [
      stars,
      '*'.repeat(1000),
      `${'?'.repeat(900)}*b`,
      '*[*'.repeat(300),
      '[[[[]]]]'.repeat(100),
      `*${long.slice(0, 900)}*b*`,
    ]
    const asking = attempt(
      Array(8)
        .fill(globs)
        .flat()
        .map((glob: string) => get(`/v1/records?image=${encodeURIComponent(glob)}`)),
      50,
    )
    await expectBobServed()
    for (const { statuses, isClosed, text } of await asking) {
      expect(isClosed).toBe(true)
      expect([[200], [400]], text.slice(0, 300)).toContainEqual(statuses)
    }
  },
  90_000,
)

attack('A11', 'own', 'filters of a hundred thousand characters are refused in a line', async () => {
  const huge = 'x'.repeat(120_000) // a single argument's most, on Linux
  for (const filter of ['user', 'image', 'job', 'since', 'until', 'state', 'format']) {
    const { status, stdout, stderr } = await hepwrap('alice', ['acct', `--${filter}`, huge])
    expect({ filter, status, stdout }).toEqual({ filter, status: 1, stdout: '' })
    expect(stderr).toMatch(/^hepwrap: [^\n]*\(HW_[A-Z_]+\)\n$/)
    expect(stderr.length).toBeLessThan(2000)
  }
  const jobs = Array.from({ length: 20_000 }, (_, index) => index).join(',')
  expect((await hepwrap('alice', ['acct', '--job', jobs])).status).toBe(1)
  const many = Array.from({ length: 2000 }, () => ['--user', 'alice']).flat()
  expectSuccess(await hepwrap('alice', ['acct', ...many]))
  watched.expectSound()
})

attack(
  'A12',
  'own',
  'neither ledger nor lock can be opened, linked, mounted or replaced',
  async () => {
    const state = watched.daemon.stateDirectory
    const script = [
      `cat ${state}/ledger.db`,
      `ln ${state}/ledger.db $HOME/ledger`,
      `ln -s ${state}/ledger.db $HOME/link && cat $HOME/link`,
      `mv ${state} ${state}.old`,
      `mkdir -p ${state}/x`,
      `echo x >>${state}/ledger.db-wal`,
      `rm -f ${state}/lock.db && [ ! -e ${state}/lock.db ] && false`,
      `flock ${state} true`,
      `sqlite3 ${state}/ledger.db 'delete from records'`,
      `hepwrap run -v ${state}:/s busybox:test cat /s/ledger.db`,
      `hepwrap run -v ${state}/ledger.db:/s busybox:test cat /s`,
      `hepwrap run -v $HOME/link:/s busybox:test cat /s`,
      `hepwrap run -v $(dirname ${state}):/s busybox:test cat /s/state/ledger.db`,
    ].map((line, index) => `(${line}) >/dev/null 2>&1 && echo ${index}; rm -f $HOME/link`)
    const before = watched.rows(2002).length
    const { stdout } = await as('alice').srun([...shared, 'bash', '-c', script.join('\n')])
    expect(stdout).toBe('')
    await expectBobServed()
    expect(watched.rows(2002)).toHaveLength(before + 1)
    expect(watched.daemon.ledgerRows('pragma integrity_check')).toEqual([{ integrity_check: 'ok' }])
  },
)
