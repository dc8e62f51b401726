import { describe, expect, it } from 'vitest'
import { MAX_STRING_BYTES, planEnvironment } from '../../../src/plan/environment.js'
import { codeAndText, siteOf } from './plan-fixture.js'

const envOf = (
  host: Record<string, string>,
  env: Record<string, string> = {},
  allHostEnv = false,
): Readonly<Record<string, string>> =>
  planEnvironment({ host_env: host, env, all_host_env: allHostEnv }, siteOf())

describe('what passes of the caller’s environment', () => {
  it.each([
    ...[
      'SLURM_JOB_ID',
      'SLURM_',
      'PMI_RANK',
      'PMI2_x',
      'PMIX_RANK',
      'OMPI_MCA_x',
      'LC_ALL',
      'HOME',
    ],
    ...['CUDA_VISIBLE_DEVICES', 'TERM', 'LANG', 'TZ', 'USER', 'LOGNAME', 'SCRATCH', 'TMPDIR'],
  ])('%s does', (name) => expect(envOf({ [name]: 'x' })).toEqual({ [name]: 'x' }))

  it.each([
    ...['PATH', 'LD_PRELOAD', 'LD_LIBRARY_PATH', 'SHELL', 'XSLURM_JOB_ID', 'HOMER', 'LANGUAGE'],
    ...['MY_SLURM_X', 'DISPLAY', 'BASH_ENV', 'CUDA_VISIBLE_DEVICES_X', 'slurm_x'],
  ])('%s does not', (name) => expect(envOf({ [name]: 'x' })).toEqual({}))

  it('is everything but PATH and LD_* with --host-env', () => {
    const host = { PATH: '/bin', LD_PRELOAD: 'x', LD_: 'x', PATHS: 'y', DISPLAY: ':0', LDX: 'z' }
    expect(envOf(host, {}, true)).toEqual({ PATHS: 'y', DISPLAY: ':0', LDX: 'z' })
  })
})

describe('-e', () => {
  it('may set anything and wins', () => {
    const env = { PATH: '/opt/bin', LD_PRELOAD: 'a', HOME: '/h', 'a.b-c': '', SLURM_JOB_ID: '7' }
    expect(envOf({ HOME: '/home/ada', SLURM_JOB_ID: '1' }, env)).toEqual(env)
  })

  it('keeps a name that means something to JavaScript a name', () => {
    const env = JSON.parse('{"__proto__": "x", "constructor": "y"}') as Record<string, string>
    expect(Object.entries(envOf({}, env))).toEqual([
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ])
  })

  it.each([
    ['', 'x', 'HW_OPTION_INVALID "" is not a name'],
    ['A=B', 'x', 'HW_OPTION_INVALID "A=B" is not a name'],
    ['A\0', 'x', 'HW_OPTION_INVALID "A\\u0000" is not a name'],
    ['A', 'x\0', 'HW_OPTION_INVALID the value of "A" holds a NUL byte'],
  ])('refuses %j=%j', (name, value, expected) =>
    expect(codeAndText(() => envOf({}, { [name]: value }))).toContain(expected),
  )
})

describe('the size of the environment', () => {
  it('may reach what execve takes as one string, and no byte more', () => {
    const longest = 'x'.repeat(MAX_STRING_BYTES - 3)
    expect(envOf({}, { A: longest })['A']).toBe(longest)
    expect(codeAndText(() => envOf({}, { A: `${longest}x` }))).toContain('HW_ENV_TOO_LARGE "A" has')
  })

  it('is counted in bytes', () => {
    expect(codeAndText(() => envOf({}, { A: 'é'.repeat(70_000) }))).toContain('HW_ENV_TOO_LARGE')
  })

  it('is bounded in all, and counts only what passes', () => {
    const big = Object.fromEntries(
      Array.from({ length: 100 }, (_, index) => [`X${index}`, 'x'.repeat(100_000)]),
    )
    expect(codeAndText(() => envOf(big, {}, true))).toContain(
      'HW_ENV_TOO_LARGE the environment has',
    )
    expect(envOf(big)).toEqual({})
  })
})
