// Run requests whose JSON is hostile: depth, duplicates, numbers that are none, arrays without end.
// Each is answered with a code of the catalogue, or run as what it says; none is a fault, and another user is served.
import { expect } from 'vitest'
import { bareRequest, runBytes } from '../slurm/raw-request.js'
import { attack } from './attack.js'
import {
  attempt,
  expectAllRefused,
  expectAnswered,
  expectBobServed,
  watchDaemon,
} from './watched-daemon.js'

const watched = watchDaemon()

const plain = JSON.stringify(bareRequest())
/** The least request, with one of its keys spelt as given. */
const withKey = (key: string, text: string) =>
  runBytes(`{${JSON.stringify(key)}:${text},${plain.slice(1)}`)
/** The least request with this value, in JSON's own words, of one of its keys. */
const withValue = (key: string, json: string) =>
  runBytes(JSON.stringify({ ...bareRequest(), [key]: '@@' }).replace('"@@"', () => json))

attack(
  'X23',
  'CWE-674',
  'JSON a hundred thousand levels deep, in each place that takes a value',
  async () => {
    const before = watched.rssMib()
    const deep = (open: string, close: string) => open.repeat(100_000) + close.repeat(100_000)
    const nests = [deep('[', ']'), deep('{"a":', '}').replace('}', '1}'), '['.repeat(100_000)]
    const keys = ['image', 'command', 'labels', 'env', 'mounts', 'terminal', 'name', 'unknown']
    const verdicts = await attempt(keys.flatMap((key) => nests.map((text) => withKey(key, text))))
    // Of a key that stands twice JSON takes the last: the first, however deep, is not looked at.
    expectAnswered(verdicts)
    const only = await attempt(nests.map((text) => withValue('labels', text)))
    expectAllRefused(only)
    expect(watched.rssMib()).toBeLessThan(before + 200)
    await expectBobServed()
  },
)

attack(
  'X24',
  'own',
  'of a key that is said twice one value counts, for the verdict, the run and the record alike',
  async () => {
    const twice = (first: string, second: string) =>
      runBytes(
        `{"image":"${first}",${JSON.stringify(bareRequest({ image: second, command: ['echo', 'ran'] })).slice(1)}`,
      )
    const [refused, ran] = await attempt([
      twice('busybox:test', 'not/allowed:x'),
      twice('not/allowed:x', 'busybox:test'),
    ])
    expect(refused).toMatchObject({ exit: 125, code: 'HW_IMAGE_REFUSED' })
    expect(ran).toMatchObject({ exit: 0 })
    expect(ran!.text).toContain('ran\n')
    const images = watched
      .rows()
      .slice(-2)
      .map((row) => `${String(row['state'])} ${String(row['image'])}`)
    expect(images.sort()).toEqual(['COMPLETED busybox:test', 'REFUSED not/allowed:x'])
  },
)

attack(
  'X25',
  'own',
  'numbers that are infinite, negative zero, fractions and beyond counting',
  async () => {
    const numbers = [
      '1e999',
      '-1e999',
      '-0',
      '1e-400',
      '0.1',
      '9007199254740993',
      '1e308',
      '18446744073709551616',
      '-1',
    ]
    const fields = ['memory_bytes', 'cpus', 'shm_size_bytes', 'stop_timeout_s']
    const verdicts = await attempt(
      [
        ...fields.flatMap((field) =>
          numbers.map((number) => runBytes(`${plain.slice(0, -1)},"${field}":${number}}`)),
        ),
        ...numbers.map((number) =>
          withValue('tmpfs', `[{"target":"/t","size_bytes":${number},"mode":${number}}]`),
        ),
        ...numbers.map((number) =>
          withValue('ulimits', `[{"name":"nofile","soft":${number},"hard":${number}}]`),
        ),
        ...numbers.map((number) =>
          withValue(
            'mounts',
            `[{"source":"/x","fd":${number},"target":"/x","read_only":false,"origin":"user"}]`,
          ),
        ),
        ...numbers.map((number) =>
          runBytes(`${plain.slice(0, -1)},"terminal":{"rows":${number},"columns":${number}}}`),
        ),
      ],
      30,
    )
    expectAnswered(verdicts)
    for (const row of watched.rows())
      expect(
        [row['cpus'], row['memory_limit_bytes']].every(
          (value) => value === null || Number.isFinite(value),
        ),
      ).toBe(true)
    await expectBobServed()
  },
  90_000,
)

attack(
  'X28',
  'CWE-1321',
  'keys of Object’s prototype, at the top and nested, change no other request',
  async () => {
    const keys = [
      '__proto__',
      'constructor',
      'prototype',
      'toString',
      'hasOwnProperty',
      '__defineGetter__',
      'then',
      'toJSON',
    ]
    const inner = '{"polluted":"yes","uid":0,"allow":["*"],"then":"x"}'
    const verdicts = await attempt(
      [
        ...keys.map((key) => runBytes(`{"${key}":${inner},${plain.slice(1)}`)),
        ...keys.map((key) => withValue('labels', `{"${key}":"polluted"}`)),
        ...keys.map((key) => withValue('labels', `{"${key}":${inner}}`)),
        ...keys.map((key) => withValue('env', `{"${key}":"polluted"}`)),
        ...keys.map((key) => withValue('host_env', `{"${key}":"polluted"}`)),
        ...keys.map((key) => withValue('mounts', `[{"${key}":${inner}}]`)),
        ...keys.map((key) => withValue('tmpfs', `[{"target":"/t","${key}":${inner}}]`)),
      ],
      30,
    )
    expectAnswered(verdicts)
    const rows = watched.rows().length
    await expectBobServed()
    expect(watched.rows()).toHaveLength(rows)
    expect(watched.daemon.log().at(-1)).not.toHaveProperty('polluted')
    const [refused] = await attempt([runBytes(bareRequest({ image: 'not/allowed' }))])
    expect(refused!.code).toBe('HW_IMAGE_REFUSED')
  },
  90_000,
)

attack(
  'X30',
  'own',
  'a line feed in a key of labels or environment lets no value of another kind through',
  async () => {
    const keys = ['a\nb', '\n', '\r', '\u2028', 'a\u2029']
    const values = [5, null, true, [], { deep: { deeper: [] } }, ['x'.repeat(100_000)]]
    const verdicts = await attempt(
      ['labels', 'env', 'host_env'].flatMap((field) =>
        keys.flatMap((key) =>
          values.map((value) => runBytes({ ...bareRequest(), [field]: { [key]: value } })),
        ),
      ),
      30,
    )
    expectAllRefused(verdicts)
    for (const { code, text } of verdicts) expect(code, text).toBe('HW_REQUEST_INVALID')
    watched.expectSound()
  },
  60_000,
)

attack(
  'X29',
  'own',
  'arrays and maps of more entries, and texts of more characters, than are taken',
  async () => {
    const before = watched.rssMib()
    const many = (count: number, entry: string) => `[${Array(count).fill(entry).join(',')}]`
    const map = (count: number) =>
      `{${Array.from({ length: count }, (_, index) => `"k${index}":"v"`).join(',')}}`
    const mount = '{"source":"/x","fd":3,"target":"/x","read_only":false,"origin":"user"}'
    const verdicts = await attempt([
      withValue('command', many(65_537, '"a"')),
      withValue('mounts', many(257, mount)),
      withValue('ulimits', many(65, '{"name":"nofile","soft":1,"hard":1}')),
      withValue('tmpfs', many(65, '{"target":"/t"}')),
      withValue('forbidden', many(65, '"--privileged"')),
      withValue('labels', map(33)),
      withValue('image', `"${'x'.repeat(1025)}"`),
      withValue('name', `"${'x'.repeat(256)}"`),
      withValue('env', `{"${'x'.repeat(4097)}":"y"}`),
      withValue('labels', `{"${'x'.repeat(129)}":"y"}`),
      withValue('labels', `{"${'x'.repeat(2_000_000)}":"y"}`),
      runBytes(many(500_000, '1')),
      runBytes(map(200_000)),
    ])
    expectAllRefused(verdicts)
    for (const { code, text } of verdicts) expect(code, text).toBe('HW_REQUEST_INVALID')
    const large = await attempt(
      [withValue('env', map(20_000)), withValue('host_env', map(20_000))],
      30,
    )
    expectAnswered(large)
    expect(watched.rssMib()).toBeLessThan(before + 300)
    await expectBobServed()
  },
  90_000,
)
