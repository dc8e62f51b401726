import { Value } from '@sinclair/typebox/value'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HepwrapError } from '../../../src/base/errors.js'
import { reservedTarget } from '../../../src/config/reserved-target.js'
import { RunRequest } from '../../../src/wire/run-api.js'
import { CALLER, codeAndText, planOf, REQUEST, type Variation } from './plan-fixture.js'

describe('makePlan', () => {
  it('fills in the defaults', () => {
    expect(planOf()).toMatchObject({
      caller: CALLER,
      image: { name: 'docker.io/library/busybox', tag: 'latest' },
      pull: 'missing',
      entrypoint: undefined,
      args: ['true'],
      env: {},
      workdir: undefined,
      network: 'host',
      stopTimeoutMs: 10_000,
      mounts: [],
    })
  })

  it('takes over what was asked for', () => {
    const plan = planOf({
      request: {
        entrypoint: '',
        interactive: true,
        tty: true,
        terminal: { rows: 24, columns: 80 },
        name: 'a.b-c_1',
        labels: { 'org.x': 'y' },
        network: 'none',
        read_only: true,
        shm_size_bytes: 65536,
        stop_timeout_s: 0,
        pull: 'always',
        memory_bytes: 6 * 1024 * 1024,
        cpus: 0.5,
        home: '/home/ada',
        shell: '/bin/sh',
        verbose: true,
        ulimits: [
          { name: 'nofile', soft: 1, hard: 2 },
          { name: 'nofile', soft: 3, hard: 4 },
        ],
      },
    })
    expect(plan).toMatchObject({
      entrypoint: '',
      interactive: true,
      tty: true,
      terminal: { rows: 24, columns: 80 },
      name: 'a.b-c_1',
      labels: { 'org.x': 'y' },
      network: 'none',
      readOnlyRootfs: true,
      shmSizeBytes: 65536,
      stopTimeoutMs: 0,
      pull: 'always',
      memoryBytes: 6 * 1024 * 1024,
      cpus: 0.5,
      home: '/home/ada',
      shell: '/bin/sh',
      verbose: true,
      ulimits: [{ name: 'nofile', soft: 3, hard: 4 }],
    })
  })

  it('takes over the caller’s own resource limits, but those he asks for', () => {
    const rlimits = new Map([
      ['nproc', { soft: 100, hard: 200 }],
      ['nofile', { soft: 10, hard: 20 }],
    ])
    const request = { ulimits: [{ name: 'nofile', soft: 1, hard: 2 }] }
    expect(planOf({ rlimits, request }).ulimits).toEqual([
      { name: 'nproc', soft: 100, hard: 200 },
      { name: 'nofile', soft: 1, hard: 2 },
    ])
  })

  it('asks for no pull by itself where the site has none', () => {
    expect(planOf({ toml: '[images]\npull = "never"\n[mounts]\nalways = []' }).pull).toBe('never')
    expect(planOf({ toml: '[images]\npull = "always"\n[mounts]\nalways = []' }).pull).toBe(
      'missing',
    )
    expect(planOf({ toml: '[node]\nstop_timeout_s = 3' }).stopTimeoutMs).toBe(3000)
  })

  it.each(['/home/a:0:0', '/home/a\nroot::0:0', 'home', '', '/a\u007f'])(
    'lets no HOME into passwd that would end its field: %j',
    (path) => {
      expect(planOf({ request: { home: path, shell: path } })).toMatchObject({
        home: undefined,
        shell: undefined,
      })
    },
  )

  it.each<[string, Variation['request'], string]>([
    [
      'forbidden',
      { forbidden: ['--privileged', '-u0'] },
      'HW_OPTION_FORBIDDEN option "--privileged"',
    ],
    ['image', { image: 'Busybox' }, 'HW_IMAGE_INVALID image "Busybox"'],
    ['NUL in a command', { command: ['a', 'b\0c'] }, 'HW_OPTION_INVALID "b\\u0000c" holds a NUL'],
    ['NUL in the entrypoint', { entrypoint: '\0' }, 'HW_OPTION_INVALID'],
    ['NUL in workdir', { workdir: '/a\0' }, 'HW_OPTION_INVALID'],
    ['relative workdir', { workdir: 'a' }, 'HW_OPTION_INVALID --workdir "a" is not an absolute'],
    [
      'long argument',
      { command: ['x'.repeat(128 * 1024)] },
      'HW_REQUEST_TOO_LARGE an argument has 131073',
    ],
    [
      'many arguments',
      { command: Array<string>(16).fill('x'.repeat(100_000)) },
      'HW_REQUEST_TOO_LARGE the arg',
    ],
    ['tty alone', { tty: true }, 'HW_OPTION_INVALID -t needs a terminal'],
    ['name', { name: '-x' }, 'HW_OPTION_INVALID --name "-x"'],
    ['empty name', { name: '' }, 'HW_OPTION_INVALID --name ""'],
    ['label', { labels: { 'a b': '' } }, 'HW_OPTION_INVALID --label "a b"'],
    ['our label', { labels: { 'hepwrap.run': 'x' } }, 'HW_OPTION_INVALID --label "hepwrap.run"'],
    ['NUL in a label', { labels: { a: '\0' } }, 'HW_OPTION_INVALID --label "a" holds'],
    ['little memory', { memory_bytes: 6 * 1024 * 1024 - 1 }, 'HW_OPTION_INVALID --memory 6291455'],
    ['few cpus', { cpus: 0.001 }, 'HW_OPTION_INVALID --cpus 0.001'],
    [
      'ulimit name',
      { ulimits: [{ name: 'NOFILE', soft: 1, hard: 1 }] },
      'HW_OPTION_INVALID --ulimit "NOFILE"',
    ],
    [
      'ulimit order',
      { ulimits: [{ name: 'core', soft: -1, hard: 5 }] },
      'HW_OPTION_INVALID --ulimit core: the soft',
    ],
    ['prototype', { ulimits: [{ name: 'constructor', soft: 1, hard: 1 }] }, 'HW_OPTION_INVALID'],
  ])('refuses: %s', (_what, request, expected) => {
    expect(codeAndText(() => planOf(request === undefined ? {} : { request }))).toContain(expected)
  })
})

describe('makePlan on anything that the schema lets through', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.constantFrom(
      '',
      '\0',
      '__proto__',
      'constructor',
      'hepwrap.x',
      'PATH',
      'LD_PRELOAD',
      '\ud800',
    ),
  )
  const path = fc.oneof(
    text,
    fc
      .array(
        fc.constantFrom(
          'proc',
          'etc',
          'passwd',
          '..',
          '.',
          '',
          'a',
          'home',
          '.hepwrap',
          'dev',
          'shm',
          'x y',
        ),
        { maxLength: 6 },
      )
      .map((parts) => `/${parts.join('/')}`),
  )
  const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
  const mount = fc.record(
    {
      source: path,
      fd: fc.nat(),
      error: fc.constantFrom('ENOENT', 'EX', '__proto__'),
      target: path,
      read_only: fc.boolean(),
      origin: fc.constantFrom('user' as const, 'home' as const, 'cwd' as const),
    },
    { requiredKeys: ['source', 'target', 'read_only', 'origin'] },
  )
  const request = fc.record<Partial<RunRequest>>(
    {
      image: fc.oneof(text, fc.constant('busybox')),
      command: fc.array(text, { maxLength: 4 }),
      entrypoint: text,
      env: fc.dictionary(text, text),
      host_env: fc.dictionary(text, text),
      all_host_env: fc.boolean(),
      workdir: path,
      tty: fc.boolean(),
      name: text,
      labels: fc.dictionary(text, text),
      ulimits: fc.array(
        fc.record({ name: text, soft: fc.integer({ min: -1 }), hard: fc.integer({ min: -1 }) }),
      ),
      stop_timeout_s: fc.nat(3600),
      memory_bytes: fc.integer({ min: 1 }),
      cpus: fc.double({ min: 0.001, noNaN: true, max: 1e9 }),
      mounts: fc.array(mount, { maxLength: 6 }),
      tmpfs: fc.array(fc.record({ target: path }), { maxLength: 3 }),
      home: path,
      cwd: path,
    },
    { requiredKeys: [] },
  )

  it('throws nothing but HepwrapError, and never mounts on what is reserved, twice, or a child first', () => {
    const toml = '[mounts]\nalways = ["/cvmfs:/cvmfs:ro?", "/a:/home/a"]'
    fc.assert(
      fc.property(request, optional(fc.constant(toml)), (fields, config) => {
        fc.pre(Value.Check(RunRequest, { ...REQUEST, ...fields }))
        const plan = tryPlan({ request: fields, ...(config === undefined ? {} : { toml: config }) })
        if (plan === undefined) return
        const targets = plan.mounts.map(({ target }) => target)
        expect(new Set(targets).size).toBe(targets.length)
        for (const [index, target] of targets.entries()) {
          expect(target).toMatch(/^(\/[^/\0]+)+$/)
          expect(target.split('/')).not.toContain('..')
          expect(reservedTarget(target)).toBeUndefined()
          for (const later of targets.slice(index + 1))
            expect(target.startsWith(`${later}/`)).toBe(false)
        }
        if (plan.workdir !== undefined) expect(plan.workdir).toMatch(/^\/[^\0]*$/)
        expect(Object.getPrototypeOf(plan.env)).toBe(Object.prototype)
      }),
      { numRuns: 3000 },
    )
  })

  function tryPlan(variation: Variation) {
    try {
      return planOf(variation)
    } catch (error) {
      expect(error).toBeInstanceOf(HepwrapError)
      expect((error as HepwrapError).code).not.toBe('HW_INTERNAL')
      expect((error as HepwrapError).message).not.toMatch(/[\0\n]/)
      return undefined
    }
  }
})

it('takes labels of 8,192 characters together, and no more', () => {
  const labels = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 'v'.repeat(1022)]))
  expect(Object.keys(planOf({ request: { labels: labels(8) } }).labels)).toHaveLength(8)
  expect(codeAndText(() => planOf({ request: { labels: labels(9) } }))).toContain(
    'HW_REQUEST_TOO_LARGE the labels have more than 8192 characters together',
  )
})
