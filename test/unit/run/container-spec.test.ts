// What a container is created from: docker's rules for entrypoint and command, and labels that a user cannot take from us.
import { describe, expect, it } from 'vitest'
import type { RunId } from '../../../src/base/ids.js'
import { parseImageRef } from '../../../src/plan/image-ref.js'
import type { RunPlan } from '../../../src/plan/run-plan.js'
import {
  commandOf,
  containerSpec,
  newGatePlace,
  workdirOf,
} from '../../../src/run/container-spec.js'
import { someCaller, someImage } from './fakes.js'

const image = parseImageRef('busybox')

describe('the working directory', () => {
  const home = { source: '/home/a', fd: 3, target: '/home/a', readOnly: false }
  const mounts = [{ ...home, kind: 'caller', origin: 'home' }] as const
  it.each<[string, string | undefined, boolean, string[], string]>([
    // workdir of the plan, asked for, what was left out → where the command begins
    ['the caller’s', '/home/a/b', false, [], '/home/a/b'],
    ['the image’s without one', undefined, false, [], '/image'],
    ['the image’s where its mount was left out', '/home/a/b', false, ['/home/a'], '/image'],
    ['the caller’s where another was left out', '/home/a', false, ['/scratch'], '/home/a'],
    ['what was asked for in any case', '/home/a/b', true, ['/home/a'], '/home/a/b'],
    ['what was asked for in the image', '/etc', true, [], '/etc'],
  ])('is %s', (_what, workdir, isAsked, leftOut, expected) => {
    const found = workdirOf({ workdir, mounts }, { workdir: '/image' }, { isAsked, leftOut })
    expect(found).toBe(expected)
    expect(workdirOf({ workdir: undefined, mounts }, { workdir: '' }, { isAsked, leftOut })).toBe(
      '/',
    )
  })
})

describe('the command', () => {
  const E = ['/entry', '--flag']
  const C = ['cmd', 'arg']
  it.each<[string, string[], string[], string | undefined, string[], string[]]>([
    // image's entrypoint, image's command, --entrypoint, COMMAND → what runs
    ['all the image’s', E, C, undefined, [], [...E, ...C]],
    ['the image’s command', [], C, undefined, [], C],
    ['a command replaces the image’s', E, C, undefined, ['x'], [...E, 'x']],
    ['an entrypoint drops the image’s command', E, C, '/mine', [], ['/mine']],
    ['an entrypoint with arguments', E, C, '/mine', ['a', 'b'], ['/mine', 'a', 'b']],
    ['an empty entrypoint removes both', E, C, '', ['x', 'y'], ['x', 'y']],
    ['an entrypoint is one word, not a line', [], [], '/my prog -x', [], ['/my prog -x']],
    ['arguments may be empty', [], [], undefined, ['echo', ''], ['echo', '']],
  ])('%s', (_what, entrypoint, command, given, args, expected) => {
    expect(
      commandOf({ image, entrypoint: given, args }, someImage({ entrypoint, command })),
    ).toEqual(expected)
  })

  it.each<[string, string[], string[], string | undefined, string[]]>([
    ['none anywhere', [], [], undefined, []],
    ['an entrypoint removed and nothing put in its place', E, C, '', []],
    ['an empty program', [], [], undefined, ['']],
    ['an empty program in the image', [''], C, undefined, []],
  ])('is missing: %s', (_what, entrypoint, command, given, args) => {
    expect(() =>
      commandOf({ image, entrypoint: given, args }, someImage({ entrypoint, command })),
    ).toThrow(
      expect.objectContaining({
        code: 'HW_COMMAND_MISSING',
        message: expect.stringContaining('"busybox"') as string,
      }),
    )
  })
})

describe('the spec', () => {
  const runId = 'b'.repeat(32) as RunId
  const plan: RunPlan = {
    runId,
    caller: someCaller({ uid: 2001, gid: 3000, groups: [3000, 4000] }),
    job: undefined,
    jobFacts: undefined,
    jobLimits: { memoryBytes: undefined, cpus: undefined },
    rlimits: undefined,
    image,
    pull: 'never',
    entrypoint: undefined,
    args: ['id'],
    env: { A: '1' },
    workdir: undefined,
    interactive: true,
    tty: false,
    terminal: undefined,
    name: 'mine',
    labels: { 'hepwrap.run': 'forged', 'hepwrap.node': 'forged', mine: 'x' },
    network: 'none',
    readOnlyRootfs: true,
    devices: [],
    pidsMax: 100,
    shmSizeBytes: 7,
    ulimits: [],
    stopTimeoutMs: 1,
    memoryBytes: undefined,
    cpus: undefined,
    mounts: [],
    home: undefined,
    shell: undefined,
    verbose: false,
  }
  const place = newGatePlace()
  const spec = containerSpec({
    plan,
    image: someImage(),
    place,
    node: 'hepp/n1',
    runtime: 'crun',
    mounts: [],
  })

  it('runs our init with the command behind it, by the id that was checked and not by a name', () => {
    expect(spec.argv).toEqual([place.init, 'id'])
    expect(spec.imageId).toBe(someImage().id)
  })

  it('has our labels, whatever the user’s say', () => {
    expect(spec.labels).toEqual({ 'hepwrap.run': runId, 'hepwrap.node': 'hepp/n1', mine: 'x' })
    expect(spec.name).toBe(`hepwrap-${runId}`)
  })

  it('is the caller by number', () => {
    expect(spec).toMatchObject({ uid: 2001, gid: 3000, groups: [3000, 4000] })
  })

  it('puts init where nobody can know beforehand', () => {
    const places = Array.from({ length: 50 }, newGatePlace)
    expect(new Set(places.map(({ init }) => init)).size).toBe(50)
    for (const { init, gate } of places) {
      expect(init).toMatch(/^\/\.hepwrap-[0-9a-f]{32}\/init$/)
      expect(gate).toBe(init.replace(/init$/, 'gate'))
    }
  })
})
