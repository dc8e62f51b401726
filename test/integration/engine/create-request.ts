// The create request with a real engine: what it reports of a container of ours is in the table of
// test/unit/engine/request-fields.ts, field by field: what we said, what we left to it, and nothing that nobody has decided on.
import { isDeepStrictEqual } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createOptions } from '../../../src/engine/create-options.js'
import { createDockerEngine } from '../../../src/engine/docker-engine.js'
import type { ContainerSpec } from '../../../src/engine/engine.js'
import { parseImageRef } from '../../../src/plan/image-ref.js'
import {
  fieldAt,
  isKnown,
  LAST_API,
  leavesOf,
  type Leaf,
} from '../../unit/engine/request-fields.js'
import type { TestEngine } from '../../world/engine.js'
import { engine as askEngine } from '../../world/traces.js'

export function requestContract({ name: engineName, socketPath }: TestEngine): void {
  const engine = createDockerEngine({ socketPath, node: 'hepp/contract', runDir: '/run' })

  /** What an engine does not tell again of a container that it was asked for. */
  const UNTOLD: Readonly<Record<TestEngine['name'], readonly string[]>> = {
    docker: [],
    podman: [
      ...['StdinOnce', 'AttachStdin', 'AttachStdout', 'AttachStderr'], // of its own client's
      ...['Image', 'StopSignal', 'HostConfig.Runtime'], // the image's name, "15" and "oci"
      ...['HostConfig.CapDrop', 'HostConfig.IpcMode', 'HostConfig.CgroupnsMode'], // seen from inside, in containers.ts
      'HostConfig.Devices[].CgroupPermissions',
      ...['Name', 'Soft', 'Hard'].map((name) => `HostConfig.Ulimits[].${name}`), // "RLIMIT_NOFILE"
      ...['Type', 'Source', 'Target', 'ReadOnly'].map((name) => `HostConfig.Mounts[].${name}`), // Binds, Tmpfs
      ...['BindOptions.Propagation', 'TmpfsOptions.SizeBytes', 'TmpfsOptions.Mode'].map(
        (name) => `HostConfig.Mounts[].${name}`,
      ),
    ],
  }

  /** What an engine tells of what was left to it, beside what the table has. */
  const DEFAULTS: Readonly<
    Record<TestEngine['name'], Readonly<Record<string, readonly unknown[]>>>
  > = {
    docker: {},
    podman: {
      // With what the source's own mount has: systemd's /tmp is nosuid and nodev.
      'HostConfig.Binds': [
        /^\["\/srv:\/srv:rbind,ro,rprivate(,no\w+)*","\/tmp:\/data:rbind,rw,rprivate(,no\w+)*"\]$/,
      ],
      'HostConfig.Tmpfs{}': [/"\/tmp":"rw,nosuid,nodev,noexec,mode=700,size=1048576,rprivate"/],
      'HostConfig.PidMode': ['private'],
      'HostConfig.UTSMode': ['private'],
      'HostConfig.PidsLimit': [2048], // of a cgroup that it leaves
      'HostConfig.Runtime': ['oci'],
    },
  }

  /** All that a spec can say, and as little as it can. */
  const MAXIMAL: Omit<ContainerSpec, 'imageId'> = {
    name: 'hepwrap-maximal',
    argv: ['/bin/sh', '-c', 'true'],
    env: { A: 'a=b', HOME: '/home/alice' },
    labels: { 'hepwrap.run': 'maximal', experiment: 'x' },
    uid: 2001,
    gid: 3000,
    groups: [3000, 4000],
    tty: true,
    interactive: true,
    network: 'host',
    readOnlyRootfs: true,
    devices: ['/dev/null'],
    shmSizeBytes: 8 * 1024 * 1024,
    ulimits: [{ name: 'nofile', soft: 128, hard: 256 }],
    mounts: [
      { kind: 'bind', source: '/srv', target: '/srv', readOnly: true, propagation: 'rprivate' },
      { kind: 'bind', source: '/tmp', target: '/data', readOnly: false, propagation: 'rprivate' },
      { kind: 'tmpfs', target: '/tmp', sizeBytes: 1048576, mode: 0o700 },
    ],
    runtime: 'runc',
  }
  const MINIMAL: typeof MAXIMAL = {
    ...MAXIMAL,
    ...{ name: 'hepwrap-minimal', env: {}, labels: {}, groups: [], tty: false, interactive: false },
    ...{ network: 'none', readOnlyRootfs: false, devices: [], shmSizeBytes: undefined },
    ...{ ulimits: [], mounts: [], runtime: '' },
  }

  interface Inspected {
    readonly said: readonly Leaf[]
    readonly reported: readonly Leaf[]
  }
  const containers: Record<string, Inspected> = {}

  async function inspected(parts: typeof MAXIMAL): Promise<Inspected> {
    const image = await engine.findImage(parseImageRef('busybox:test'))
    const spec = { ...parts, imageId: image?.id ?? '' }
    const id = await engine.create(spec)
    const { body } = await askEngine('GET', `/containers/${id}/json`)
    await engine.remove(id)
    const { Config, HostConfig } = body as { Config: object; HostConfig: object }
    const said = leavesOf(JSON.parse(JSON.stringify(createOptions(spec))))
    return {
      said: said.filter(({ path }) => path !== 'name'),
      reported: leavesOf({ ...Config, HostConfig }),
    }
  }

  beforeAll(async () => {
    containers['maximal'] = await inspected(MAXIMAL)
    containers['minimal'] = await inspected(MINIMAL)
  })
  afterAll(async () => {
    for (const { name } of [MAXIMAL, MINIMAL]) await engine.remove(name)
  })

  it('the engine speaks no later API than the table has been read for', async () => {
    const { apiVersion } = await engine.facts()
    expect(Number(apiVersion.split('.')[1])).toBeLessThanOrEqual(LAST_API)
  })

  describe.each(['maximal', 'minimal'])('of a %s container', (kind) => {
    const of = () => containers[kind] as Inspected
    const isTerminal = () => valuesAt(of().said, 'Tty')[0] === true
    const valuesAt = (leaves: readonly Leaf[], path: string) =>
      leaves.filter((leaf) => leaf.path === path).map(({ value }) => value)

    it('the engine reports no field that is not in the table', () => {
      const { reported } = of()
      expect(reported.map(({ path }) => path).filter((path) => !isKnown(path))).toEqual([])
      // Of a request that is taken apart wrongly nothing would be missed.
      expect(reported.length).toBeGreaterThan(60)
    })

    it('what we said is what it has', () => {
      const { said, reported } = of()
      const paths = new Set(said.map(({ path }) => path))
      paths.delete('Env')
      for (const path of UNTOLD[engineName]) paths.delete(path)
      const meant = (leaves: readonly Leaf[], path: string) =>
        valuesAt(leaves, path).filter((value) => !isNothing(value))
      const differs = (path: string) => !isDeepStrictEqual(meant(reported, path), meant(said, path))
      expect([...paths].filter(differs)).toEqual([])
    })

    it('of the environment the image has added only what we did not set', () => {
      const { said, reported } = of()
      const ours = valuesAt(said, 'Env')[0] as string[]
      const all = valuesAt(reported, 'Env')[0] as string[]
      expect(ours.filter((one) => !all.includes(one))).toEqual([])
      const added = all.filter((one) => !ours.includes(one))
      expect(added.filter((one) => one !== 'TERM=xterm' || !isTerminal())).toEqual([
        'PATH=/usr/local/bin:/usr/bin:/bin',
      ])
    })

    it('what we left to it is nothing, or the default that the table names', () => {
      const { said, reported } = of()
      const saidPaths = new Set(said.map(({ path }) => path))
      const left = reported.filter(({ path }) => !saidPaths.has(path))
      const odd = left.filter(({ path, value }) => !isNothing(value) && !isDefault(path, value))
      expect(odd).toEqual([])
      const names = left.map(({ path }) => path)
      for (const name of ['CapAdd', 'Binds', 'PidMode', 'UsernsMode', 'DeviceRequests', 'Cgroup'])
        expect(names).toContain(`HostConfig.${name}`)
    })
  })

  it('the largest environment gets through, whatever its characters', async () => {
    const env = Object.fromEntries(
      Array.from({ length: 10 }, (_, index) => [`V${index}`, '%'.repeat(100_000)]),
    )
    const { said, reported } = await inspected({ ...MINIMAL, name: 'hepwrap-large', env })
    const bytesOf = (leaves: readonly Leaf[]) =>
      JSON.stringify(leaves.find(({ path }) => path === 'Env')?.value).length
    expect(bytesOf(reported)).toBeGreaterThan(bytesOf(said))
    expect(bytesOf(said)).toBeGreaterThan(1_000_000)
  })

  const isNothing = (value: unknown): boolean =>
    value === null || value === '' || value === 0 || value === false || isEmpty(value)
  const isEmpty = (value: unknown): boolean =>
    typeof value === 'object' && value !== null && Object.keys(value).length === 0

  const isDefault = (path: string, value: unknown): boolean =>
    [...(fieldAt(path)?.reports ?? []), ...(DEFAULTS[engineName][path] ?? [])].some((wanted) =>
      wanted instanceof RegExp
        ? wanted.test(typeof value === 'string' ? value : JSON.stringify(value))
        : isDeepStrictEqual(wanted, value),
    )
}
