// ContainerSpec to the engine's create request. A case is a folder of fixtures/create-options: spec.json → expected.json.
// What security depends on is asked for by name below, so that no case has to be read to know it is there.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createOptions } from '../../../src/engine/create-options.js'
import type { ContainerSpec } from '../../../src/engine/engine.js'

const cases = join(import.meta.dirname, 'fixtures/create-options')
const readJson = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'))

describe('a case', () => {
  it.each(readdirSync(cases))('%s', (name) => {
    const spec = readJson(join(cases, name, 'spec.json')) as ContainerSpec
    const expected = join(cases, name, 'expected.json')
    expect(existsSync(expected), 'a new case is written once, read by its author, and kept').toBe(
      true,
    )
    expect(JSON.parse(JSON.stringify(createOptions(spec)))).toEqual(readJson(expected))
  })
})

const id = fc.integer({ min: 0, max: 4_294_967_294 })
const text = fc.string({ maxLength: 20 })
const mount = fc.oneof(
  fc.record({
    kind: fc.constant('bind' as const),
    source: text,
    target: text,
    readOnly: fc.boolean(),
    propagation: fc.constantFrom('rprivate' as const, 'rslave' as const),
  }),
  fc.record({
    kind: fc.constant('tmpfs' as const),
    target: text,
    sizeBytes: fc.option(fc.nat(), { nil: undefined }),
    mode: fc.option(fc.integer({ min: 0, max: 0o7777 }), { nil: undefined }),
  }),
)
const evilKey = fc.constantFrom(
  'Privileged',
  'HostConfig',
  '__proto__',
  'Binds',
  'CapAdd',
  'PidMode',
)

const anySpec: fc.Arbitrary<ContainerSpec> = fc.record({
  name: text,
  imageId: text,
  argv: fc.array(text, { minLength: 1, maxLength: 5 }),
  env: fc.dictionary(fc.oneof(text, evilKey), text),
  labels: fc.dictionary(fc.oneof(text, evilKey), text),
  uid: id,
  gid: id,
  groups: fc.array(id, { maxLength: 5 }),
  tty: fc.boolean(),
  interactive: fc.boolean(),
  network: fc.constantFrom('host' as const, 'none' as const),
  readOnlyRootfs: fc.boolean(),
  devices: fc.array(text, { maxLength: 3 }),
  shmSizeBytes: fc.option(fc.nat(), { nil: undefined }),
  ulimits: fc.array(fc.record({ name: text, soft: fc.integer(), hard: fc.integer() }), {
    maxLength: 3,
  }),
  mounts: fc.array(mount, { maxLength: 5 }),
  runtime: fc.constantFrom('', 'crun'),
})

/** Everything that is ever said to the engine. A key that is not here gives a container something: think first. */
const KEYS = [
  ...[
    'name',
    'Image',
    'Entrypoint',
    'Cmd',
    'Env',
    'User',
    'WorkingDir',
    'Labels',
    'Tty',
    'OpenStdin',
    'StdinOnce',
  ],
  ...['AttachStdin', 'AttachStdout', 'AttachStderr', 'Healthcheck', 'StopSignal', 'HostConfig'],
]
const HOST_KEYS = [
  ...[
    'Mounts',
    'NetworkMode',
    'CapDrop',
    'SecurityOpt',
    'GroupAdd',
    'Privileged',
    'PublishAllPorts',
    'ReadonlyRootfs',
  ],
  ...[
    'LogConfig',
    'AutoRemove',
    'RestartPolicy',
    'OomScoreAdj',
    'Init',
    'IpcMode',
    'CgroupnsMode',
    'Ulimits',
  ],
  ...['ShmSize', 'Runtime', 'Devices'],
]

/** What a container of ours never has, in any spelling of the Engine API 1.41 … 1.47. */
const NEVER = [
  ...[
    'Binds',
    'DeviceRequests',
    'DeviceCgroupRules',
    'CapAdd',
    'Capabilities',
    'PidMode',
    'UTSMode',
  ],
  ...[
    'UsernsMode',
    'CgroupParent',
    'Cgroup',
    'VolumesFrom',
    'Links',
    'PortBindings',
    'Sysctls',
    'Tmpfs',
    'ExtraHosts',
  ],
  ...[
    'Dns',
    'StorageOpt',
    'VolumeDriver',
    'MaskedPaths',
    'ReadonlyPaths',
    'OomKillDisable',
    'KernelMemory',
  ],
  ...[
    'Volumes',
    'ExposedPorts',
    'NetworkingConfig',
    'OnBuild',
    'Shell',
    'MacAddress',
    'Domainname',
    'Hostname',
  ],
]

describe('whatever the spec, the request', () => {
  const everySpec = (check: (spec: ContainerSpec) => void) =>
    fc.assert(fc.property(anySpec, check), { numRuns: 200 })

  it('holds every restriction', () => {
    everySpec((spec) => {
      expect(createOptions(spec)).toMatchObject({
        User: `${spec.uid}:${spec.gid}`,
        Healthcheck: { Test: ['NONE'] },
        HostConfig: {
          CapDrop: ['ALL'],
          SecurityOpt: ['no-new-privileges'],
          Privileged: false,
          CgroupnsMode: 'host',
          IpcMode: 'private',
          NetworkMode: spec.network,
          PublishAllPorts: false,
          AutoRemove: false,
          RestartPolicy: { Name: 'no' },
          LogConfig: { Type: 'none', Config: {} },
          Init: false,
          ReadonlyRootfs: spec.readOnlyRootfs,
          GroupAdd: spec.groups.map(String),
        },
      })
    })
  })

  it('has no key that is not listed, and none that is forbidden', () => {
    everySpec((spec) => {
      const request = createOptions(spec)
      const keys = Object.keys(request)
      const hostKeys = Object.keys(request.HostConfig ?? {})
      expect(keys.filter((key) => !KEYS.includes(key))).toEqual([])
      expect(hostKeys.filter((key) => !HOST_KEYS.includes(key))).toEqual([])
    })
    expect([...KEYS, ...HOST_KEYS].filter((key) => NEVER.includes(key))).toEqual([])
  })

  it('runs our program with the rest as its arguments, never the image’s', () => {
    everySpec((spec) => {
      const { Entrypoint, Cmd } = createOptions(spec)
      expect([Entrypoint ?? [], Cmd ?? []].flat()).toEqual(spec.argv)
      expect(Entrypoint).toHaveLength(1)
    })
  })

  it('mounts what the spec says and nothing else, without making a source', () => {
    everySpec((spec) => {
      const mounts = createOptions(spec).HostConfig?.Mounts ?? []
      expect(mounts.map(({ Target }) => Target)).toEqual(spec.mounts.map(({ target }) => target))
      for (const [index, one] of mounts.entries()) {
        const wanted = spec.mounts[index]
        expect(one.Type).toBe(wanted?.kind)
        if (wanted?.kind !== 'bind') continue
        expect(one.ReadOnly).toBe(wanted.readOnly)
        expect(one.BindOptions).toEqual({ Propagation: wanted.propagation })
        expect(one.Source).toBe(wanted.source)
      }
    })
  })

  it('passes labels and environment on word by word', () => {
    everySpec((spec) => {
      const { Labels, Env } = createOptions(spec)
      expect(Object.entries(Labels ?? {})).toEqual(Object.entries(spec.labels))
      expect(Env).toEqual(Object.entries(spec.env).map(([name, value]) => `${name}=${value}`))
    })
  })
})
