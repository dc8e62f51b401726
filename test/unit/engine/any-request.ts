// Run requests of somebody who means harm: each string may be one that means something elsewhere, each object has keys that
// nobody asked for. No schema has looked at them.
import fc from 'fast-check'
import type { RunRequest } from '../../../src/wire/run-api.js'
import { anyText, EVIL_KEYS } from './any-spec.js'

/** What an attacker would like to hear said to the engine. */
const WISHES: Readonly<Record<string, unknown>> = {
  Privileged: true,
  User: '0:0',
  HostConfig: { Privileged: true, Binds: ['/:/host'], PidMode: 'host' },
  CapAdd: ['ALL'],
  SecurityOpt: ['seccomp=unconfined'],
  Binds: ['/:/host'],
  BindOptions: { NonRecursive: true, CreateMountpoint: true, Propagation: 'rshared' },
  Propagation: 'rshared',
  Options: [['exec'], ['suid']],
  kind: 'volume',
  Type: 'volume',
  caller: { uid: 0, gid: 0, groups: [0] },
  uid: 0,
  gid: 0,
  groups: [0],
  runtime: 'evil',
  imageId: 'evil',
  propagation: 'rshared',
  privileged: true,
  cap_add: ['ALL'],
}

const wishes = fc
  .subarray([...Object.keys(WISHES), ...EVIL_KEYS])
  .map((keys) => Object.fromEntries(keys.map((key) => [key, WISHES[key] ?? { [key]: true }])))

/** The object with keys of an attacker's before its own: JSON.parse would give it so. */
const withWishes = <T extends object>(object: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.tuple(wishes, object).map(([more, own]) => ({ ...more, ...own }))

/** Mostly something that passes, so that the other fields are looked at. */
const mostly = <T>(good: fc.Arbitrary<T>, bad: fc.Arbitrary<T>) =>
  fc.oneof({ arbitrary: good, weight: 19 }, { arbitrary: bad, weight: 1 })
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined })
const plain = fc.constantFrom('busybox', 'a/b:c', 'h:5000/x', `a@sha256:${'0'.repeat(64)}`)
const path = mostly(
  fc.nat({ max: 99 }).map((n) => `/data/${n}`),
  anyText,
)
const key = mostly(fc.constantFrom('User', 'Privileged', 'HostConfig', 'a.b'), anyText)
const size = fc.integer({ min: 8 * 1024 * 1024, max: 2 ** 40 })
const limit = fc.integer({ min: 0, max: 10 })
const ulimit = fc.record({
  name: mostly(fc.constantFrom('nofile', 'nproc', 'core'), anyText),
  soft: limit,
  hard: limit.map((n) => n + 10),
})
const mount = fc.record({
  source: anyText,
  fd: fc.nat(),
  target: path,
  read_only: fc.boolean(),
  origin: fc.constantFrom('user' as const, 'home' as const, 'cwd' as const),
})
const tmpfs = fc.record(
  { target: path, size_bytes: size, mode: fc.integer({ min: 0, max: 0o7777 }) },
  { requiredKeys: ['target'] },
)
const env = fc.dictionary(mostly(fc.constantFrom('PATH', 'User'), anyText), anyText, { maxKeys: 3 })

const fields = fc.record({
  image: mostly(plain, anyText),
  command: fc.array(anyText, { maxLength: 4 }).map((words) => ['true', ...words]),
  entrypoint: optional(anyText),
  env,
  host_env: env,
  all_host_env: fc.boolean(),
  workdir: optional(path),
  interactive: fc.boolean(),
  tty: fc.boolean(),
  terminal: fc.constant({ rows: 24, columns: 80 }),
  name: optional(key),
  labels: fc.dictionary(key, anyText, { maxKeys: 3 }),
  network: optional(fc.constantFrom('host' as const, 'none' as const)),
  read_only: fc.boolean(),
  devices: optional(fc.array(mostly(fc.constant('/dev/fuse'), anyText), { maxLength: 2 })),
  shm_size_bytes: optional(size),
  ulimits: fc.array(withWishes(ulimit), { maxLength: 3 }),
  stop_timeout_s: optional(limit),
  pull: optional(fc.constantFrom('missing' as const, 'never' as const, 'always' as const)),
  memory_bytes: optional(size),
  cpus: optional(fc.integer({ min: 1, max: 9 })),
  mounts: fc.array(withWishes(mount), { maxLength: 3 }),
  tmpfs: fc.array(withWishes(tmpfs), { maxLength: 3 }),
  forbidden: fc.constant<string[]>([]),
  home: optional(anyText),
  shell: optional(anyText),
  cwd: anyText,
  verbose: fc.boolean(),
})

export const anyRequest = withWishes(fields) as fc.Arbitrary<RunRequest>
