// The engine's create request by construction: whatever is asked, only fields that the table says we set, each from where
// it says. docs/engine-request.md is the table.
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { Value } from '@sinclair/typebox/value'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HepwrapError } from '../../../src/base/errors.js'
import type { RunId } from '../../../src/base/ids.js'
import { createOptions } from '../../../src/engine/create-options.js'
import type { BindMount, ContainerSpec } from '../../../src/engine/engine.js'
import { makePlan } from '../../../src/plan/make-plan.js'
import type { RunPlan } from '../../../src/plan/run-plan.js'
import { containerSpec, newGatePlace, ownBinds } from '../../../src/run/container-spec.js'
import { RunRequest } from '../../../src/wire/run-api.js'
import { CALLER, configOf, siteOf } from '../plan/plan-fixture.js'
import { someImage } from '../run/fakes.js'
import { anyRequest } from './any-request.js'
import { anySpec } from './any-spec.js'
import { engineThat, json } from './fake-docker.js'
import { fieldAt, FIELDS, leavesOf, page, type Leaf } from './request-fields.js'

/** What crosses the socket: JSON, with the name in the address. */
function requestOf(spec: ContainerSpec): readonly Leaf[] {
  const { name, ...body } = createOptions(spec)
  const said = JSON.parse(JSON.stringify(body)) as object
  return [{ path: '?name', value: name }, ...leavesOf(said)]
}

const isSet = ({ path, value }: Leaf): boolean =>
  fieldAt(path)?.by === 'us' || (isListOfOurs(path) && isEmptyList(value))
const isEmptyList = (value: unknown): boolean => Array.isArray(value) && value.length === 0
const isListOfOurs = (path: string): boolean =>
  FIELDS.some((field) => field.by === 'us' && field.path.startsWith(`${path}[].`))
const strangers = (leaves: readonly Leaf[]) => leaves.filter((leaf) => !isSet(leaf))

/** Of a caller, a plan and constants; no text of a request's is in it. */
const powersOf = (
  plan: Pick<ContainerSpec, 'uid' | 'gid' | 'groups' | 'network' | 'readOnlyRootfs'>,
) => ({
  User: `${plan.uid}:${plan.gid}`,
  WorkingDir: '/',
  StopSignal: 'SIGTERM',
  Healthcheck: { Test: ['NONE'] },
  HostConfig: {
    Privileged: false,
    CapDrop: ['ALL'],
    SecurityOpt: ['no-new-privileges'],
    GroupAdd: plan.groups.map(String),
    NetworkMode: plan.network,
    IpcMode: 'private',
    CgroupnsMode: 'host',
    PublishAllPorts: false,
    AutoRemove: false,
    RestartPolicy: { Name: 'no' },
    LogConfig: { Type: 'none', Config: {} },
    Init: false,
    OomScoreAdj: 500,
    ReadonlyRootfs: plan.readOnlyRootfs,
  },
})

const NETWORKS = ['host', 'none']
const PROPAGATIONS = ['rprivate', 'rslave']

describe('the table', () => {
  it('has each field once, and stands in docs/engine-request.md', async () => {
    expect(new Set(FIELDS.map(({ path }) => path)).size).toBe(FIELDS.length)
    const docs = join(import.meta.dirname, '../../../docs/engine-request.md')
    await expect(page()).toMatchFileSnapshot(docs)
  })

  it('sees what it does not know, at every depth', () => {
    const told = {
      Image: 'x',
      Evil: 1,
      HostConfig: { Evil: [], Devices: [{ PathOnHost: '/dev/x', Evil: { a: 1 } }], CapAdd: ['x'] },
    }
    expect(strangers(leavesOf(told)).map(({ path }) => path)).toEqual([
      'Evil',
      'HostConfig.Evil',
      'HostConfig.Devices[].Evil.a',
      'HostConfig.CapAdd',
    ])
  })
})

describe('whatever the spec', () => {
  it('only what the table says we set is said, and all of that is', () => {
    const said = new Set<string>()
    fc.assert(
      fc.property(anySpec, (spec) => {
        const leaves = requestOf(spec)
        expect(strangers(leaves)).toEqual([])
        for (const { path } of leaves) said.add(path)
      }),
      { numRuns: 300 },
    )
    const set = FIELDS.filter(({ by }) => by === 'us').map(({ path }) => path)
    expect(set.filter((path) => !said.has(path))).toEqual([])
  })

  it('no power is said but those of the plan', () => {
    fc.assert(
      fc.property(anySpec, (spec) => {
        expect(createOptions(spec)).toMatchObject(powersOf(spec))
      }),
      { numRuns: 200 },
    )
  })
})

describe('whatever the request', () => {
  const toml = '[mounts]\nalways = ["/cvmfs:/cvmfs:ro?"]'
  const GIVEN = {
    runId: 'ab'.repeat(16) as RunId,
    caller: CALLER,
    job: undefined,
    jobFacts: undefined,
    jobLimits: { memoryBytes: undefined, cpus: undefined },
    config: configOf(toml),
    site: siteOf(toml),
  }

  /** Plan and spec as run/launch makes them, or undefined where the plan is refused. */
  function specFor(request: RunRequest): { plan: RunPlan; spec: ContainerSpec } | undefined {
    try {
      const plan = makePlan({ ...GIVEN, request })
      const place = newGatePlace()
      const own = ownBinds('/run/hepwrap/runs/x', place, '/usr/lib/hepwrap-init')
      const mounts = [...own, ...plan.mounts.map(staged)]
      const image = someImage({ command: ['/bin/sh'] })
      const spec = containerSpec({ plan, image, place, node: 'h/n', runtime: 'crun', mounts })
      return { plan, spec }
    } catch (thrown) {
      if (thrown instanceof HepwrapError) return undefined
      throw thrown
    }
  }

  /** The placeholders of mounts/placeholders. */
  const staged = (
    mount: RunPlan['mounts'][number],
    index: number,
  ): ContainerSpec['mounts'][number] =>
    mount.kind === 'tmpfs'
      ? mount
      : ({
          kind: 'bind',
          source: `/run/hepwrap/runs/x/${index}`,
          target: mount.target,
          readOnly: true,
          propagation: 'rslave',
        } satisfies BindMount)

  it('no key of it gets through, and every power is the caller’s and the plan’s', () => {
    let planned = 0
    fc.assert(
      fc.property(anyRequest, (request) => {
        const { plan, spec } = specFor(request) ?? {}
        if (plan === undefined || spec === undefined) return
        planned++
        expect(strangers(requestOf(spec))).toEqual([])
        expect(createOptions(spec)).toMatchObject(powersOf({ ...plan, ...CALLER }))
        expectKnownWords(spec)
      }),
      { numRuns: 500 },
    )
    expect(planned).toBeGreaterThan(100)
  })

  /** Where a text of the request's may stand, and where only words of ours. */
  function expectKnownWords(spec: ContainerSpec): void {
    const { Image, Entrypoint, HostConfig } = createOptions(spec)
    expect(Image).toBe(someImage().id)
    expect(Entrypoint).toEqual([expect.stringMatching(/^\/\.hepwrap-[0-9a-f]{32}\/init$/)])
    expect(HostConfig?.Runtime).toBe('crun')
    expect(NETWORKS).toContain(HostConfig?.NetworkMode)
    const devices = spec.devices.map(
      () => expect.objectContaining({ CgroupPermissions: 'rw' }) as object,
    )
    expect(HostConfig?.Devices).toEqual(devices)
    for (const mount of HostConfig?.Mounts ?? []) {
      expect(['bind', 'tmpfs']).toContain(mount.Type)
      if (mount.Type === 'tmpfs') continue
      expect(mount.Source).toMatch(/^\/(?:run\/hepwrap\/runs\/x\/|usr\/lib\/hepwrap-init$)/)
      expect(PROPAGATIONS).toContain(mount.BindOptions?.Propagation)
      expect(mount.ReadOnly).toBe(true)
    }
  }

  it('with a key that is none of ours it is refused before', () => {
    const isPlain = (request: RunRequest) =>
      [request, ...request.mounts, ...request.tmpfs, ...request.ulimits].every((object) =>
        Object.keys(object).every((key) => OUR_KEYS.has(key)),
      )
    fc.assert(
      fc.property(anyRequest, (request) => {
        fc.pre(!isPlain(request))
        expect(Value.Check(RunRequest, request)).toBe(false)
      }),
      { numRuns: 200 },
    )
  })

  const { properties } = RunRequest
  const OUR_KEYS = new Set([
    ...Object.keys(properties),
    ...Object.keys(properties.mounts.items.properties),
    ...Object.keys(properties.tmpfs.items.properties),
    ...Object.keys(properties.ulimits.items.properties),
  ])
})

describe('on its way to the engine', () => {
  it('a request is the body; in the address, which engines log, is nothing but the name', () =>
    fc.assert(
      fc.asyncProperty(anySpec, async (spec) => {
        const [probe, request, ...more] = await heardBy(spec)
        expect(more).toEqual([])
        const { name, imageId, labels } = spec
        const address = { pathname: '/containers/create', query: { name } }
        const said = JSON.parse(JSON.stringify(createOptions(spec))) as { name?: string }
        delete said.name
        expect(request).toEqual({ ...address, body: said })
        // A container that is never started: the image's files are looked at in it.
        const body = { Image: imageId, Labels: { ...labels }, Cmd: [''] }
        expect(probe).toEqual({ ...address, body })
      }),
      { numRuns: 30 },
    ))

  function requestIn({ url = '' }: IncomingMessage, body: Buffer): object {
    const { pathname, searchParams } = new URL(url, 'http://x')
    const address = { pathname, query: Object.fromEntries(searchParams) }
    return { ...address, body: JSON.parse(body.toString()) as unknown }
  }

  /** Every create request, address and body. */
  async function heardBy(spec: ContainerSpec): Promise<object[]> {
    const heard: object[] = []
    const engine = await engineThat((request, response) => {
      const pieces: Buffer[] = []
      request.on('data', (piece: Buffer) => pieces.push(piece))
      request.on('end', () => {
        if (request.method === 'POST') heard.push(requestIn(request, Buffer.concat(pieces)))
        const status = { POST: 201, DELETE: 200 }[request.method ?? ''] ?? 404
        if (request.method === 'GET')
          json(response, { Config: {} }) // the look at the image's own files
        else json(response, { Id: 'c'.repeat(64) }, status)
      })
    })
    await engine.create(spec)
    return heard
  }
})
