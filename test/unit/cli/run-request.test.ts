// What the client sends: real descriptors of real directories, opened as the user.
import {
  closeSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseRunLine } from '../../../src/cli/run-options.js'
import { buildRequest } from '../../../src/cli/run-request.js'
import type { MountRequest, RunRequest } from '../../../src/wire/run-api.js'

let root: string
const cwd = process.cwd()
const opened: number[] = []

beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'hepwrap-request-')))
  mkdirSync(join(root, 'home'))
  mkdirSync(join(root, 'work'))
  writeFileSync(join(root, 'work/file'), 'text')
})
afterEach(() => {
  process.chdir(cwd)
  opened.splice(0).forEach((fd) => closeSync(fd))
  rmSync(root, { recursive: true, force: true })
})

function build(args: string[], environment: Record<string, string> = {}): RunRequest {
  const request = buildRequest(parseRunLine([...args, 'img'], environment), environment, undefined)
  for (const { fd } of request.mounts) if (fd !== undefined) opened.push(fd)
  return request
}

const O_PATH = 0o10000000
const flagsOf = (fd: number) =>
  Number.parseInt(
    /flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '',
    8,
  )
const pathOf = ({ fd }: MountRequest) => readlinkSync(`/proc/self/fd/${fd ?? -1}`)

describe('default mounts', () => {
  it('are HOME and the working directory, at their own paths', () => {
    process.chdir(join(root, 'work'))
    const { mounts, cwd: shown, home } = build([], { HOME: join(root, 'home') })
    expect(mounts).toMatchObject([
      { source: join(root, 'home'), target: join(root, 'home'), read_only: false, origin: 'home' },
      { source: join(root, 'work'), target: join(root, 'work'), read_only: false, origin: 'cwd' },
    ])
    expect(mounts.map(pathOf)).toEqual([join(root, 'home'), join(root, 'work')])
    expect([shown, home]).toEqual([join(root, 'work'), join(root, 'home')])
  })

  it('are O_PATH descriptors that are not passed to other programs', () => {
    process.chdir(join(root, 'work'))
    for (const { fd = -1 } of build(['-v', `${root}/work/file:/f`], { HOME: root }).mounts) {
      expect(flagsOf(fd) & O_PATH).toBe(O_PATH)
      expect(flagsOf(fd) & 0o2000000, 'O_CLOEXEC').toBe(0o2000000)
    }
  })

  it('are left out by --no-home and --no-cwd, the directory is told all the same', () => {
    process.chdir(join(root, 'work'))
    const request = build(['--no-home', '--no-cwd'], { HOME: join(root, 'home') })
    expect(request.mounts).toEqual([])
    expect(request).toMatchObject({ cwd: join(root, 'work'), home: join(root, 'home') })
  })

  it('are one where both are the same, and none for /', () => {
    process.chdir(join(root, 'home'))
    expect(build([], { HOME: join(root, 'home') }).mounts).toHaveLength(1)
    process.chdir('/')
    expect(build([], { HOME: '/' }).mounts).toEqual([])
    expect(build([], {}).mounts).toEqual([])
    expect(build([], { HOME: 'relative' })).not.toHaveProperty('home')
  })

  it('give way to a mount of the user’s at the same target', () => {
    process.chdir(join(root, 'work'))
    const home = join(root, 'home')
    const { mounts } = build(['-v', `${root}/work:${home}`], { HOME: home })
    expect(mounts.map(({ origin, target }) => `${origin} ${target}`)).toEqual([
      `cwd ${root}/work`,
      `user ${home}`,
    ])
  })

  it('say why they could not be opened', () => {
    const { mounts } = build(['--no-cwd'], { HOME: join(root, 'gone') })
    expect(mounts).toEqual([
      {
        source: join(root, 'gone'),
        error: 'ENOENT',
        target: join(root, 'gone'),
        read_only: false,
        origin: 'home',
      },
    ])
  })
})

describe('the working directory', () => {
  it('is called as the shell calls it where that is the same directory', () => {
    symlinkSync(join(root, 'work'), join(root, 'link'))
    process.chdir(join(root, 'link'))
    const { cwd: shown, mounts } = build([], { PWD: join(root, 'link') })
    expect(shown).toBe(join(root, 'link'))
    expect(mounts).toMatchObject([{ target: join(root, 'link') }])
    expect(mounts.map(pathOf)).toEqual([join(root, 'work')])
  })

  it.each(['elsewhere', 'relative', 'dots', 'gone'])(
    'is not believed to be PWD where that is %s',
    (kind) => {
      process.chdir(join(root, 'work'))
      const PWD = {
        elsewhere: join(root, 'home'),
        relative: '.',
        dots: `${root}/home/../work`,
        gone: join(root, 'gone'),
      }[kind]
      expect(build([], { PWD: PWD ?? '' }).cwd).toBe(join(root, 'work'))
    },
  )

  it('is an error where it was deleted, unless nobody needs it', () => {
    const gone = join(root, 'gone')
    mkdirSync(gone)
    process.chdir(gone)
    rmSync(gone, { recursive: true })
    expect(() => build([], { PWD: gone })).toThrow(
      /the working directory has no path \(ENOENT\).*--no-cwd/,
    )
    expect(build(['--no-cwd'], { PWD: gone })).toMatchObject({ cwd: '/', mounts: [] })
  })
})

describe('mounts of the user', () => {
  it('are opened where symlinks lead, files and directories', () => {
    symlinkSync('work/file', join(root, 'link'))
    symlinkSync('work', join(root, 'dirlink'))
    const { mounts } = build([
      '--no-home',
      '--no-cwd',
      '-v',
      `${root}/link:/f:ro`,
      '-v',
      `${root}/dirlink:/d`,
    ])
    expect(mounts).toMatchObject([
      { source: join(root, 'link'), target: '/f', read_only: true, origin: 'user' },
      { source: join(root, 'dirlink'), target: '/d', read_only: false, origin: 'user' },
    ])
    expect(mounts.map(pathOf)).toEqual([join(root, 'work/file'), join(root, 'work')])
    expect(fstatSync(mounts[0]?.fd ?? -1).ino).toBe(statSync(join(root, 'work/file')).ino)
  })

  it.each([
    ['absent', 'ENOENT'],
    ['work/file/below', 'ENOTDIR'],
    ['loop', 'ELOOP'],
    ['x'.repeat(300), 'ENAMETOOLONG'],
  ])('tell the daemon why %s could not be opened', (name, error) => {
    symlinkSync('loop', join(root, 'loop'))
    const { mounts } = build(['--no-home', '--no-cwd', '-v', `${root}/${name}:/x`])
    expect(mounts).toMatchObject([{ source: `${root}/${name}`, error, target: '/x' }])
    expect(mounts[0]).not.toHaveProperty('fd')
  })
})

it('sends the environment and the shell', () => {
  process.chdir('/')
  expect(build([], { SHELL: '/bin/zsh', A: 'b', SLURM_JOB_ID: '1' })).toMatchObject({
    host_env: { SHELL: '/bin/zsh', A: 'b', SLURM_JOB_ID: '1' },
    shell: '/bin/zsh',
  })
})
