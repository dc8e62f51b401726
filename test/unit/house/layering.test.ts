// Who may import whom: DESIGN §2's table, with what the house needs beyond it and why.
import { posix } from 'node:path'
import { describe, expect, it } from 'vitest'
import { sourceFiles, sourcePaths } from './source-files.js'

/**
 * Room → rooms it may import, beside its own and `base`; `room!` = types only.
 * What differs from DESIGN §2:
 * - engine: image names are parsed in plan/, which decides about them; the spec's words are wire's (types).
 * - cgroup: creation of a Slurm directory's children is serialized with flock(2), a foreign call.
 * - mounts: whose descriptors (identity) and what lies at a path (proc's mountinfo).
 * - slurm: the job table keeps the prolog's words as wire has them.
 * - signature: is younger than DESIGN; keys are files that only root may have written (config).
 * - run: the configuration's type, never its loading.
 * - cli: of wire also the frames, which import nothing; of kernel the terminal, loaded for `run -it` only; upstream, loaded
 *   by the verbs that ask the aggregator; reports, by those that work on its answers. Its sacct.ts alone starts a program:
 *   Slurm's database has no other door, and the client is no root daemon.
 * - daemon: of kernel only who has hung up, of the connections that are held and not read, and the thread that it starts for runs.
 */
const MAY_IMPORT: Readonly<Record<string, string>> = {
  base: '',
  bin: 'cli daemon aggregator',
  wire: '',
  config: '',
  kernel: '',
  proc: '',
  identity: 'kernel proc',
  slurm: 'proc wire!',
  rules: 'config',
  plan: 'wire! identity! slurm! config rules',
  policy: 'plan config rules',
  signature: 'plan! config',
  mounts: 'kernel plan! identity proc config',
  cgroup: 'slurm proc kernel',
  engine: 'plan wire!',
  accounting: 'wire upstream',
  run: 'wire kernel proc identity slurm plan rules policy signature! mounts cgroup engine accounting! config!',
  daemon:
    'wire config proc identity slurm plan rules policy signature cgroup engine upstream accounting run',
  store: 'wire',
  trust: 'config',
  upstream: 'trust',
  page: 'wire!',
  reports: 'wire!',
  aggregator: 'wire config kernel trust store',
  cli: 'wire! upstream reports',
}

/** Single files of a room that another may import at run time where the table grants it types only. */
const ALSO: Readonly<Record<string, readonly string[]>> = {
  cli: ['wire/frames.ts', 'wire/record-fields.ts', 'wire/usage-sums.ts', 'kernel/terminal.ts'],
  daemon: ['kernel/hang-up.ts', 'kernel/mount-thread.ts'],
}

interface Crossing {
  readonly from: string
  readonly room: string
  readonly target: string
  readonly isTypeOnly: boolean
}

const crossings: readonly Crossing[] = sourceFiles.flatMap(({ path, room, imports }) =>
  imports
    .filter(({ from }) => from.startsWith('.'))
    .map(({ from, isTypeOnly }) => ({
      from: path,
      room,
      target: posix.join(posix.dirname(path), from).replace(/\.js$/, '.ts'),
      isTypeOnly,
    }))
    .filter(({ target }) => target.split('/')[0] !== room),
)

const roomOf = (target: string) => target.split('/')[0] ?? ''
const grantsOf = (room: string) => (MAY_IMPORT[room] ?? '').split(' ').filter((word) => word !== '')

function isAllowed({ room, target, isTypeOnly }: Crossing): boolean {
  const wanted = roomOf(target)
  const grants = grantsOf(room)
  return (
    wanted === 'base' ||
    grants.includes(wanted) ||
    (isTypeOnly && grants.includes(`${wanted}!`)) ||
    (ALSO[room]?.includes(target) ?? false)
  )
}

describe('the layering table', () => {
  it('knows every room', () => {
    const rooms = new Set(sourceFiles.map(({ room }) => room))
    expect([...rooms].filter((room) => !Object.hasOwn(MAY_IMPORT, room))).toEqual([])
  })

  it('holds', () => {
    const broken = crossings.filter((crossing) => !isAllowed(crossing))
    expect(
      broken.map(
        ({ from, target, isTypeOnly }) => `${from} → ${target}${isTypeOnly ? ' (type)' : ''}`,
      ),
    ).toEqual([])
  })

  it('grants nothing that nobody uses, and no values where types do', () => {
    const used = (room: string, wanted: string, types: boolean) =>
      crossings.some(
        (crossing) =>
          crossing.room === room &&
          roomOf(crossing.target) === wanted &&
          (types || !crossing.isTypeOnly),
      )
    const idle = Object.keys(MAY_IMPORT).flatMap((room) =>
      grantsOf(room)
        .filter((grant) => !used(room, grant.replace('!', ''), grant.endsWith('!')))
        .map((grant) => `${room}: ${grant}`),
    )
    expect(idle).toEqual([])
  })

  it('has no import that leaves src/ or leads nowhere', () => {
    const paths = new Set(sourcePaths)
    const lost = sourceFiles.flatMap(({ path, imports }) =>
      imports
        .filter(({ from }) => from.startsWith('.'))
        .map(({ from }) => posix.join(posix.dirname(path), from).replace(/\.js$/, '.ts'))
        .filter((target) => !paths.has(target))
        .map((target) => `${path} → ${target}`),
    )
    expect(lost).toEqual([])
  })

  it('has no rooms that import each other', () => {
    const edges = new Set(crossings.map(({ room, target }) => `${room} ${roomOf(target)}`))
    const mutual = [...edges].filter((edge) => edges.has(edge.split(' ').reverse().join(' ')))
    expect(mutual).toEqual([])
  })
})

describe('foreign packages stay in their room', () => {
  it.each([
    ['koffi', /^kernel\//],
    ['@observablehq/plot', /^page\//],
    ['dockerode', /^engine\//],
    ['better-sqlite3', /^accounting\/|^store\/sqlite\//],
    ['pg', /^store\/postgres\//],
    ['pg-cursor', /^store\/postgres\//],
    ['fastify', /^(?:daemon|aggregator)\//],
    ['prom-client', /^(?:daemon|aggregator)\//],
    ['pino', /^base\/log\.ts$/],
    ['smol-toml', /^config\/|^cli\/configured-socket\.ts$/],
    ['@sinclair/typebox', /^(?:wire|config|daemon|aggregator)\//],
    ['systeminformation', /^daemon\/node-facts\.ts$/],
    ['prom-client', /^(?:daemon|aggregator)\//],
    ['node:child_process', /^cli\/sacct\.ts$/],
  ])('%s', (name, where) => {
    const users = sourceFiles.filter(({ imports }) =>
      imports.some(({ from }) => from === name || from.startsWith(`${name}/`)),
    )
    expect(users.map(({ path }) => path).filter((path) => !where.test(path))).toEqual([])
  })
})
