import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadDaemonConfig, parseDaemonConfig } from '../../../src/config/load.js'
import { POLICY_KEY_NAMES } from '../../../src/config/policy-keys.js'
import type { DaemonConfig } from '../../../src/config/schema.js'
import { sitePolicyFor } from '../../../src/rules/site-policy.js'
import { SUBJECT } from '../plan/plan-fixture.js'
import type { Guard } from '../../../src/config/guarded-file.js'

const parse = (text: string) => parseDaemonConfig(text, 'f.toml', 'n1.example.org')
const refused = (text: string) => {
  try {
    parse(text)
  } catch (error) {
    expect(error).toHaveProperty('code', 'HW_CONFIG_INVALID')
    return (error as Error).message
  }
  throw new Error(`not refused: ${text}`)
}

describe('a sound file', () => {
  it('has every default, frozen, with the short host name', () => {
    const config = parse('')
    expect(config.node.name).toBe('n1')
    expect(config).toMatchObject({
      node: { cluster: 'hepp', state_dir: '/var/lib/hepwrap', start_timeout_s: 60 },
      slurm: { outside_jobs: 'refuse', require_prolog: false },
      limits: {
        connections_per_user: 512,
        request_timeout_s: 10,
        requests_per_second: 64,
        requests_burst: 512,
      },
      accounting: { aggregator: '', auth: 'munge', keep_days: 400, max_ledger_mb: 1024 },
      metrics: { listen: '' },
    })
    expect(config.layers).toEqual([{ name: '[policy]', match: undefined, settings: new Map() }])
    expect(Object.isFrozen(config.node)).toBe(true)
  })

  it('takes what stands in it, however it is spelled', () => {
    const config = parse(
      'node.name = "a"\nimages = {allow = ["busybox"], pull = "never"}\n["mounts"]\n"home" = false\n',
    )
    expect(config.node.name).toBe('a')
    const written = [...(config.layers[0]?.settings ?? [])].map(([key, { value }]) => [key, value])
    expect(Object.fromEntries(written)).toEqual({
      'images.allow': ['busybox'],
      'images.pull': 'never',
      'mounts.home': false,
    })
  })
})

describe('a faulty file is refused with file, line and key', () => {
  it.each([
    ['[node]\nclster = "x"\n', 'f.toml:2: node.clster: unknown key'],
    ['\n[nod]\nname = "x"\n', 'f.toml:2: nod: unknown key'],
    ['surplus = 1\n', 'f.toml:1: surplus: unknown key'],
    ['node = 5\n', 'f.toml:1: node: must be a table (5)'],
    ['[[node]]\nname = "x"\n', 'f.toml:1: node: must be a table ([{"name":"x"}])'],
    ['node = []\n', 'f.toml:1: node: must be a table ([])'],
    ['node = 2020-01-01\n', 'f.toml:1: node: must be a table'],
    ['[node]\n\nname = 5\n', 'f.toml:3: node.name: must be a name of letters'],
    ['[node]\nname = "a b"\n', '("a b")'],
    ['[node]\nname = "a/b"\n', 'f.toml:2: node.name'],
    ['[node]\ncluster = ""\n', 'f.toml:2: node.cluster'],
    ['[node]\nsocket = "hepwrapd.sock"\n', 'f.toml:2: node.socket: must be an absolute path'],
    ['[node]\nsocket = "/run/../x"\n', '("/run/../x")'],
    ['[node]\nsocket = "/run//x"\n', 'f.toml:2: node.socket'],
    ['[node]\nsocket = "/run/x/"\n', 'f.toml:2: node.socket'],
    [`[node]\nsocket = "/${'x'.repeat(107)}"\n`, 'at most 107 bytes'],
    [`[node]\nrun_dir = "/${'x'.repeat(64)}"\n`, 'at most 64 bytes'],
    ['[node]\nstate_dir = "/"\n', 'f.toml:2: node.state_dir'],
    [
      '[node]\nsocket = "/run/docker.sock"\n',
      "f.toml:2: node.socket: must not be the engine's own",
    ],
    ['[node]\nlog_level = "loud"\n', 'one of info, trace, debug, warn, error, fatal ("loud")'],
    ['[node]\nstart_timeout_s = 1.5\n', 'a whole number from 1 to 3600 (1.5)'],
    ['[node]\nstart_timeout_s = 0\n', '(0)'],
    ['[node]\nstart_timeout_s = nan\n', '(NaN)'],
    ['[node]\nstart_timeout_s = "60"\n', '("60")'],
    ['[policy]\nroot = true\n', 'f.toml:2: policy.root: must be one of refuse, allow (true)'],
    ['[slurm]\nroot = "allow"\n', 'f.toml:2: slurm.root: unknown key'],
    ['[slurm]\noutside_jobs = "Allow"\n', '("Allow")'],
    [
      '[images]\nallow = "busybox"\n',
      'f.toml:2: images.allow: must be a list of texts ("busybox")',
    ],
    [
      '[images]\nallow = [\n  "busybox",\n\n  "Busy Box",\n]\n',
      'f.toml:5: images.allow.1: must be',
    ],
    ['[images]\nallow = ["busybox:1@sha256:00"]\n', '("busybox:1@sha256:00")'],
    ['[images]\nallow = ["busybox@sha256:abc"]\n', 'f.toml:2: images.allow.0'],
    ['[images]\nallow = [""]\n', '("")'],
    ['[mounts]\nalways = ["/cvmfs"]\n', 'f.toml:2: mounts.always.0: must be "SRC:DST"'],
    ['[mounts]\nalways = ["/a:/b:rx"]\n', '("/a:/b:rx")'],
    ['[mounts]\nalways = ["a:/b"]\n', '("a:/b")'],
    ['[mounts]\nalways = ["/a:/../b"]\n', '("/a:/../b")'],
    ['[mounts]\nalways = ["/a:/proc/x"]\n', 'f.toml:2: mounts.always.0: target is reserved'],
    ['[mounts]\nalways = ["/a:/b", "/c:/b"]\n', 'f.toml:2: mounts.always.1: target is used twice'],
    ['[mounts]\ndeny = ["relative"]\n', 'f.toml:2: mounts.deny.0'],
    ['[accounting]\naggregator = "acct:7780"\n', 'f.toml:2: accounting.aggregator'],
    ['[accounting]\naggregator = "http://u:p@acct"\n', 'f.toml:2: accounting.aggregator'],
    ['[accounting]\naggregator = "http://a"\nauth = "token"\n', 'accounting.token_file: must name'],
    ['[accounting]\nca_file = "ca.pem"\n', 'f.toml:2: accounting.ca_file'],
    ['[accounting]\nkeep_days = 0\n', 'a whole number from 1 to 36500 (0)'],
    ['[accounting]\nmax_ledger_mb = "1g"\n', 'f.toml:2: accounting.max_ledger_mb'],
    ['[metrics]\nlisten = 7781\n', 'f.toml:2: metrics.listen: must be ADDRESS:PORT'],
    ['[metrics]\nlisten = "7781"\n', '("7781")'],
    ['[metrics]\nlisten = "localhost:99999"\n', 'must end in a port from 1 to 65535'],
    ['[node]\nhepscore = -1\n', 'f.toml:2: node.hepscore: must be a number from 0 up (-1)'],
    ['[node]\nhepscore = nan\n', '(NaN)'],
    ['[node]\nname = \n', 'f.toml:2: '],
    ['[node]\nname = "a"\nname = "b"\n', 'f.toml:3: '],
    ['[node]\n__proto__ = {a = 1}\n', 'f.toml:'],
    ['[node]\n"a\\nb" = 1\n', 'f.toml:2: node."a\\nb": unknown key'],
  ])('%j', (text, message) => expect(refused(text)).toContain(message))

  it('says all that is wrong, one line each', () => {
    expect(refused('[node]\nname = 5\nfoo = 1\n[images]\npull = "x"\n').split('\n')).toHaveLength(3)
  })
})

describe('lines of keys', () => {
  it.each([
    ['name = """\n[x]\nsocket = 1\n"""', 4],
    ["name = '''\n\\'''", 2],
    ['name = "a # b" # socket = 2', 1],
    ['name = "\\"]"', 1],
  ])('are not confused by %j', (before, lines) => {
    const text = `[node]\n${before}\nsocket = "bad"\n`
    expect(refused(text)).toContain(`f.toml:${2 + lines}: node.socket`)
  })

  it('are those of elements that span lines', () => {
    const text = '[images]\nallow = [ # [ " \n "a", # ]\n """\nb c""",\n {x = [1, 2]},\n "d e" ]\n'
    expect(
      refused(text)
        .split('\n')
        .map((line) => line.slice(0, 24)),
    ).toEqual(['f.toml:4: images.allow.1', 'f.toml:6: images.allow.2', 'f.toml:7: images.allow.3'])
  })
})

describe('the file itself', () => {
  let directory = ''
  let guard: Guard
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'hepwrap-config-'))
    guard = { ownerUid: process.getuid?.() ?? 0, below: directory }
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  const write = (mode = 0o644, text = '') => {
    const path = join(directory, 'hepwrapd.toml')
    writeFileSync(path, text)
    chmodSync(path, mode)
    return path
  }

  it('is read where only its owner can write', () => {
    expect(loadDaemonConfig(write(0o644, '[node]\nname = "x"\n'), guard).node.name).toBe('x')
  })

  it.each([0o664, 0o646, 0o666, 0o777])('is refused with mode %o', (mode) => {
    expect(() => loadDaemonConfig(write(mode), guard)).toThrow(/can be written by others.*mode 0/)
  })

  it.each([0o775, 0o757, 0o1777])('is refused below a directory with mode %o', (mode) => {
    const path = write()
    chmodSync(directory, mode)
    expect(() => loadDaemonConfig(path, guard)).toThrow('can be written by others')
  })

  it('is refused below a sticky /tmp', () => {
    expect(() => loadDaemonConfig(write(), { ...guard, below: '/' })).toThrow(
      /"\/(tmp)?" (can be written by others|belongs to uid)/,
    )
  })

  it('is refused when it belongs to another', () => {
    expect(() => loadDaemonConfig(write(), { ...guard, ownerUid: 4242 })).toThrow(/belongs to uid/)
  })

  it('is refused as a symbolic link, and below one', () => {
    const path = write()
    symlinkSync(path, join(directory, 'link.toml'))
    expect(() => loadDaemonConfig(join(directory, 'link.toml'), guard)).toThrow('symbolic link')
    mkdirSync(join(directory, 'd'))
    symlinkSync(directory, join(directory, 'd', 'up'))
    expect(() => loadDaemonConfig(join(directory, 'd', 'up', 'hepwrapd.toml'), guard)).toThrow(
      'symbolic link',
    )
  })

  it('is named when it is missing, a directory, relative, or not UTF-8', () => {
    expect(() => loadDaemonConfig(join(directory, 'no.toml'), guard)).toThrow(
      /no\.toml.*no such file/,
    )
    mkdirSync(join(directory, 'dir'))
    expect(() => loadDaemonConfig(join(directory, 'dir'), guard)).toThrow('not a regular file')
    expect(() => loadDaemonConfig('hepwrapd.toml', guard)).toThrow('absolute path')
    const path = write()
    writeFileSync(path, Buffer.from([0x5b, 0xff]))
    expect(() => loadDaemonConfig(path, guard)).toThrow('UTF-8')
  })
})

describe('the samples in config/', () => {
  const sample = (name: string) => readFileSync(join('config', name), 'utf8')

  it('hepwrapd.toml loads and says the defaults, every one of them', () => {
    const text = sample('hepwrapd.toml')
    const { layers, ...sections } = parse(text)
    const { layers: none, ...defaults } = parse('')
    expect(sections).toEqual(defaults)
    const valuesOf = (each: DaemonConfig['layers']) =>
      Object.values(sitePolicyFor(SUBJECT, each)).map((setting) =>
        'entries' in setting ? setting.entries.map(({ value }) => value) : setting.value,
      )
    expect(valuesOf(layers)).toEqual(valuesOf(none))
    expect([...(layers[0]?.settings.keys() ?? [])].sort()).toEqual([...POLICY_KEY_NAMES].sort())
    for (const [section, keys] of Object.entries(defaults)) {
      const body = text.split(`[${section}]\n`)[1]?.split('\n[')[0] ?? ''
      for (const key of Object.keys(keys)) expect(body).toMatch(new RegExp(`# .*\n${key} = `))
    }
  })

  it('aggregator.toml is TOML', async () => {
    const { parse: parseToml } = await import('smol-toml')
    expect(Object.keys(parseToml(sample('aggregator.toml')))).toEqual(['server', 'store', 'auth'])
  })

  it('hepwrapd.service leaves the daemon in the host’s mount namespace, and its directory in place', () => {
    const lines = sample('hepwrapd.service').split('\n')
    // systemd.exec(5): each of these gives the service a mount namespace of its own.
    const namespacing =
      /^(Private|Protect(?!KernelLogs)|ReadOnlyPaths|ReadWritePaths|Inaccessible|TemporaryFileSystem|Bind|Mount|Root(Directory|Image)|DynamicUser|NoExecPaths|ExecPaths)/
    expect(lines.filter((line) => namespacing.test(line))).toEqual([])
    expect(lines).toContain('RuntimeDirectoryPreserve=yes')
  })

  it('the examples for Slurm are lines of KEY=VALUE', () => {
    for (const name of ['slurm.conf.example', 'cgroup.conf.example'])
      for (const line of sample(name).split('\n')) expect(line).toMatch(/^$|^#|^[A-Za-z]+=\S+$/)
  })
})
