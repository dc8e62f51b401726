// What the fuzzer sends after the upgrade: frames, and run requests that are nearly right. Each case is all the bytes of one
// connection.
import fc from 'fast-check'
import { FRAME, frame, frameHeader } from '../../src/wire/frames.js'
import { bareRequest, UPGRADE } from '../slurm/raw-request.js'
import { bytes, mutated, number, word } from './fuzz-http.js'

const upgraded = (frames: readonly Buffer[]) => Buffer.concat([Buffer.from(UPGRADE), ...frames])
const payload = fc.oneof(
  bytes(64),
  fc.json({ maxDepth: 2 }).map((text) => Buffer.from(text)),
  fc
    .constantFrom('SIGTERM', 'USR1', 'KILL', '9', '')
    .map((signal) => Buffer.from(JSON.stringify({ signal }))),
  fc.record({ rows: number, columns: number }).map((size) => Buffer.from(JSON.stringify(size))),
)
const anyFrame = fc
  .record({
    type: fc.oneof(fc.constantFrom(...Object.values(FRAME)), fc.integer({ min: 0, max: 255 })),
    body: payload,
    lie: fc.option(fc.nat({ max: 0xffffffff }), { nil: undefined, freq: 6 }),
  })
  .map(({ type, body, lie }) => Buffer.concat([frameHeader(type, lie ?? body.length), body]))
const someRun = frame(FRAME.request, bareRequest({ command: ['cat'], interactive: true }))

/** Mostly without a run before them: a container takes longer than a refusal. */
export const anyFrames: fc.Arbitrary<Buffer> = fc.oneof(
  { arbitrary: fc.array(anyFrame, { maxLength: 6 }).map(upgraded), weight: 4 },
  {
    arbitrary: mutated(fc.array(anyFrame, { minLength: 1, maxLength: 4 }).map(upgraded)),
    weight: 3,
  },
  {
    arbitrary: fc.array(anyFrame, { maxLength: 5 }).map((frames) => upgraded([someRun, ...frames])),
    weight: 2,
  },
  { arbitrary: mutated(fc.constant(upgraded([someRun]))), weight: 3 },
)

const value: fc.Arbitrary<unknown> = fc.oneof(
  word,
  number,
  fc.boolean(),
  fc.constant(null),
  fc.array(word, { maxLength: 4 }),
  fc.dictionary(word, fc.oneof(word, number), { maxKeys: 2 }),
  fc.anything({ maxDepth: 2, withNullPrototype: false }),
)
const wordOrNot = fc.oneof(word, number, fc.constantFrom(null, true, {}, ['x'], { a: {} }))
/** Of maps: what a rule for keys, or an object, may have its own idea of. */
const key = fc.oneof(
  word,
  fc.constantFrom('a\nb', '\n', 'a\u2028b', 'A', '__proto__', 'toString', 'A=B', 'LD_PRELOAD'),
)
const mount = fc.record({
  source: word,
  fd: fc.oneof(fc.integer({ min: -1, max: 20 }), number),
  target: fc.oneof(
    word,
    fc.constantFrom('/x', '/etc/passwd', '/proc', '/.hepwrap', '/dev/shm', '/'),
  ),
  read_only: fc.boolean(),
  origin: fc.constantFrom('user', 'home', 'cwd', 'root'),
})
/** Each key's own kind of value, of which any may be hostile. */
const fields: Record<string, fc.Arbitrary<unknown>> = {
  image: fc.oneof(word, fc.constantFrom('busybox:test', 'busybox', 'debian:test', 'x@sha256:00')),
  command: fc.array(word, { maxLength: 5 }),
  entrypoint: word,
  env: fc.dictionary(key, wordOrNot, { maxKeys: 2 }),
  host_env: fc.dictionary(key, wordOrNot, { maxKeys: 2 }),
  all_host_env: fc.boolean(),
  workdir: fc.oneof(
    word,
    word.map((text) => `/${text}`),
  ),
  tty: fc.boolean(),
  terminal: fc.record({ rows: number, columns: number }),
  name: word,
  labels: fc.dictionary(key, wordOrNot, { maxKeys: 2 }),
  network: fc.constantFrom('host', 'none', 'bridge', 'container:x'),
  devices: fc.array(word, { maxLength: 3 }),
  read_only: fc.boolean(),
  shm_size_bytes: number,
  ulimits: fc.array(
    fc.record({
      name: fc.constantFrom('nofile', 'core', 'nproc', 'x'),
      soft: number,
      hard: number,
    }),
    { maxLength: 3 },
  ),
  stop_timeout_s: number,
  pull: fc.constantFrom('missing', 'never', 'always', 'now'),
  memory_bytes: number,
  cpus: number,
  mounts: fc.array(mount, { maxLength: 4 }),
  tmpfs: fc.array(
    fc.record({ target: word.map((text) => `/${text}`), size_bytes: number, mode: number }),
    { maxLength: 3 },
  ),
  forbidden: fc.array(word, { maxLength: 2 }),
  home: word,
  shell: word,
  cwd: word,
  uid: number,
}
const change = fc
  .constantFrom(...Object.keys(fields), 'env', 'env', 'labels', 'labels', 'host_env')
  .chain((key) =>
    fc
      .oneof({ arbitrary: fields[key]!, weight: 4 }, { arbitrary: value, weight: 1 })
      .map((changed): [string, unknown] => [key, changed]),
  )

const request = fc
  .array(change, { minLength: 1, maxLength: 2 })
  .map((changes) => JSON.stringify({ ...bareRequest(), ...Object.fromEntries(changes) }, jsonOnly))

export const anyRunRequest: fc.Arbitrary<Buffer> = fc.oneof(
  {
    arbitrary: request.map((text) => upgraded([frame(FRAME.request, Buffer.from(text))])),
    weight: 4,
  },
  {
    arbitrary: mutated(request.map((text) => Buffer.from(text))).map((text) =>
      upgraded([frame(FRAME.request, text)]),
    ),
    weight: 1,
  },
)

/** What JSON has no word for becomes a text. */
function jsonOnly(_key: string, one: unknown): unknown {
  return typeof one === 'bigint' || typeof one === 'symbol' ? one.toString() : one
}
