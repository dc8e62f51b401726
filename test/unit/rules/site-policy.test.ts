// How layers of a key become one value, and what it says of where it stands.
import { describe, expect, it } from 'vitest'
import { originText, type List } from '../../../src/rules/site-policy.js'
import { parseSize } from '../../../src/rules/sizes.js'
import { configOf, siteOf } from '../plan/plan-fixture.js'

const texts = ({ entries }: List) => entries.map(({ value }) => value)
const RULE = '[[rule]]\nname = "ada"\nusers = ["ada"]\n'
const GROUP = '[[rule]]\nname = "users"\ngroups = ["users"]\n'

describe('a value', () => {
  it('is the built-in one where nobody says it', () => {
    const { value, by } = siteOf('')['images.pull']
    expect(value).toBe('missing')
    expect(originText(by)).toBe('built in: images.pull')
  })

  it('is that of the most specific layer that says it', () => {
    const toml = `[policy]\nimages.pull = "always"\nroot = "allow"\n${RULE}images.pull = "never"\n${GROUP}images.pull = "missing"\n`
    const site = siteOf(toml)
    expect(site['images.pull'].value).toBe('never')
    expect(originText(site['images.pull'].by)).toBe('f.toml:7 rule "ada": images.pull')
    expect(originText(site.root.by)).toBe('f.toml:3 [policy]: root')
  })

  it('may be a table, as a whole', () => {
    const toml = `[policy.ceilings]\nulimits = {core = 0, nofile = 1}\n${RULE}ceilings.ulimits = {memlock = "unlimited"}\n`
    expect(siteOf(toml)['ceilings.ulimits'].value).toEqual({ memlock: 'unlimited' })
  })
})

describe('a list', () => {
  it.each<[string, readonly string[]]>([
    ['[images]\nallow = ["a"]\n', ['a']],
    [`[images]\nallow = ["a"]\n${RULE}images.allow = ["b"]\n`, ['b']],
    [`[images]\nallow = ["a"]\n${RULE}images.allow = ["...", "b"]\n`, ['a', 'b']],
    [`[images]\nallow = ["a"]\n${RULE}images.allow = []\n`, []],
    [
      `[images]\nallow = ["a"]\n${RULE}images.allow = ["...", "c"]\n${GROUP}images.allow = ["...", "b"]\n`,
      ['a', 'b', 'c'],
    ],
    ['[images]\nallow = ["...", "a"]\n', ['a']],
  ])('%j is %j', (toml, expected) => expect(texts(siteOf(toml)['images.allow'])).toEqual(expected))

  it('adds to what is built in by "..."', () => {
    const pass = siteOf('[policy]\nenvironment.pass = ["...", "X509_*"]\n')['environment.pass']
    expect(texts(pass)).toContain('SLURM_*')
    expect(texts(pass).at(-1)).toBe('X509_*')
    expect(pass.entries.map(({ by }) => by.layer)).toContain('built in')
  })

  it('knows the line of each entry, and of its end', () => {
    const allow = siteOf(`[images]\nallow = [\n  "a",\n  "b",\n]\n${RULE}`)['images.allow']
    expect(allow.entries.map(({ by, value }) => originText(by, value))).toEqual([
      'f.toml:3 [images]: images.allow "a"',
      'f.toml:4 [images]: images.allow "b"',
    ])
    expect(originText(allow.by)).toBe('f.toml:2 [images]: images.allow')
  })
})

describe('denials', () => {
  it.each<[string, readonly string[]]>([
    [`[images]\ndeny = ["a"]\n${RULE}images.deny = ["b"]\n`, ['a', 'b']],
    [`[images]\ndeny = ["a"]\n${RULE}images.deny = []\n`, ['a']],
    [`[images]\ndeny = ["a", "b"]\n${RULE}images.deny = ["!a"]\n`, ['b']],
    [`[images]\ndeny = ["a"]\n${RULE}images.deny = ["!a", "c"]\n`, ['c']],
    // The less specific cannot take back what the more specific denies.
    [`${RULE}images.deny = ["a"]\n${GROUP}images.deny = ["!a"]\n`, ['a']],
  ])('%j are %j', (toml, expected) => expect(texts(siteOf(toml)['images.deny'])).toEqual(expected))

  it('that are built in can be taken back', () =>
    expect(texts(siteOf('[policy]\nenvironment.never = ["!LD_*"]\n')['environment.never'])).toEqual(
      ['PATH'],
    ))
})

describe('a file is refused that', () => {
  const refusal = (toml: string) => {
    try {
      configOf(toml)
    } catch (error) {
      return (error as Error).message
    }
    return 'taken'
  }
  it.each([
    ['[policy]\nimage.allow = []\n', 'f.toml:2: policy.image: unknown key'],
    ['[policy]\nimages.alow = []\n', 'f.toml:2: policy.images.alow: unknown key'],
    ['[[rule]]\nusers = ["a"]\nimages.pul = "x"\n', 'f.toml:3: rule.0.images.pul: unknown key'],
    ['[[rule]]\nuser = ["a"]\n', 'f.toml:2: rule.0.user: unknown key'],
    ['[[rule]]\nimages.pull = "never"\n', 'f.toml:1: rule.0: must say whom it is for'],
    ['[[rule]]\nusers = []\n', 'f.toml:2: rule.0.users: must be a list of names, at least one'],
    ['[[rule]]\nusers = "ada"\n', 'f.toml:2: rule.0.users: must be a list of names'],
    ['[[rule]]\nusers = [""]\n', 'f.toml:2: rule.0.users.0: must be a name'],
    ['[rule]\nusers = ["a"]\n', 'f.toml:1: rule: must be a list of tables'],
    [`${RULE}[[rule]]\nname = "ada"\nusers = ["x"]\n`, 'f.toml:5: rule.1.name: is used twice'],
    [
      `${RULE}[rule.images]\npull = "sometimes"\n`,
      'f.toml:5: rule.0.images.pull: must be one of missing, never, always ("sometimes")',
    ],
    [
      '[images]\nallow = []\n[policy]\nimages.allow = []\n',
      'f.toml:2: images.allow: is written in [policy] too',
    ],
    ['[policy]\nnetwork = ["bridge"]\n', 'f.toml:2: policy.network.0: must be "host" or "none"'],
    ['[policy]\ndevices = ["/dev/shm/x"]\n', 'f.toml:2: policy.devices.0: must be a path below'],
    ['[policy]\ndevices = ["/dev/../etc"]\n', 'f.toml:2: policy.devices.0'],
    ['[policy]\nceilings.tmpfs = "lots"\n', 'f.toml:2: policy.ceilings.tmpfs: must be a size'],
    // The kernel's own "no limit".
    ['[policy]\nceilings.tmpfs = "0"\n', 'f.toml:2: policy.ceilings.tmpfs: must be a size'],
    ['[policy]\nceilings.shm = "00g"\n', 'f.toml:2: policy.ceilings.shm: must be a size'],
    ['[policy]\nceilings.pids = 0\n', 'f.toml:2: policy.ceilings.pids: must be a whole number'],
    ['[policy]\nceilings.ulimits = {nofile = -1}\n', 'f.toml:2: policy.ceilings.ulimits'],
    ['[policy]\nceilings.ulimits = {nofle = 1}\n', 'f.toml:2: policy.ceilings.ulimits'],
    [
      '[images]\ndeny = ["!a"]\n',
      'f.toml:2: images.deny.0: takes back an entry that stands nowhere',
    ],
    ['[images]\ndeny = ["..."]\n', 'f.toml:2: images.deny.0: must be'],
    ['[images]\ndeny = ["*miner*"]\n', 'f.toml:2: images.deny.0: means images of Docker Hub'],
    ['[images]\ndeny = ["docker.io/evil*"]\n', 'f.toml:2: images.deny.0: means images of Docker'],
    ['[images]\nallow = ["!a"]\n', 'f.toml:2: images.allow.0: must be'],
    ['[mounts]\nallow = ["/a/../b"]\n', 'f.toml:2: mounts.allow.0'],
    [
      `${RULE}mounts.always = ["/a:/proc/x"]\n`,
      'f.toml:4: rule.0.mounts.always.0: target is reserved',
    ],
  ])('%j', (toml, message) => expect(refusal(toml)).toContain(message))
})

it.each([
  ['', undefined],
  ['5', 5],
  ['512m', 512 * 1024 ** 2],
  ['4g', 4 * 1024 ** 3],
  ['1k', 1024],
])('a size %j is %s bytes', (text, bytes) => expect(parseSize(text)).toBe(bytes))
