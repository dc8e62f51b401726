// Any ContainerSpec that the types allow, and texts that mean harm.
import fc from 'fast-check'
import type { ContainerSpec } from '../../../src/engine/engine.js'

/** Keys of the engine's own, and of JavaScript's, where a user's word is a key or a value. */
export const EVIL_KEYS = [
  ...['Privileged', 'HostConfig', '__proto__', 'constructor', 'toJSON', 'Binds', 'CapAdd'],
  ...['PidMode', 'User', 'SecurityOpt', 'Runtime', 'name', 'platform', '_query', '_body'],
]

export const EVIL_TEXTS = [
  ...['', 'a\nb', '../../..', '0:0', 'host', 'container:x', '/etc:/etc:rw', '--privileged'],
  ...['"},"HostConfig":{"Privileged":true', '&platform=x', 'seccomp=unconfined', '\u202e', 'ü'],
]

export const anyText = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.constantFrom(...EVIL_TEXTS, ...EVIL_KEYS),
)
const anyId = fc.integer({ min: 0, max: 4_294_967_294 })
const anyMount = fc.oneof(
  fc.record({
    kind: fc.constant('bind' as const),
    source: anyText,
    target: anyText,
    readOnly: fc.boolean(),
    propagation: fc.constantFrom('rprivate' as const, 'rslave' as const),
  }),
  fc.record({
    kind: fc.constant('tmpfs' as const),
    target: anyText,
    sizeBytes: fc.option(fc.nat(), { nil: undefined }),
    mode: fc.option(fc.integer({ min: 0, max: 0o7777 }), { nil: undefined }),
  }),
)

export const anySpec: fc.Arbitrary<ContainerSpec> = fc.record({
  name: anyText,
  imageId: anyText,
  argv: fc.array(anyText, { minLength: 1, maxLength: 5 }),
  env: fc.dictionary(anyText, anyText),
  labels: fc.dictionary(anyText, anyText),
  uid: anyId,
  gid: anyId,
  groups: fc.array(anyId, { maxLength: 5 }),
  tty: fc.boolean(),
  interactive: fc.boolean(),
  network: fc.constantFrom('host' as const, 'none' as const),
  readOnlyRootfs: fc.boolean(),
  devices: fc.array(anyText, { maxLength: 3 }),
  shmSizeBytes: fc.option(fc.nat(), { nil: undefined }),
  ulimits: fc.array(fc.record({ name: anyText, soft: fc.integer(), hard: fc.integer() }), {
    maxLength: 3,
  }),
  mounts: fc.array(anyMount, { maxLength: 5 }),
  runtime: fc.constantFrom('', 'crun'),
})
