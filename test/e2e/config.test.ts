// The programs' own command lines and the daemon's configuration, as an admin meets them: what is wrong is said with
// file, key and line, and nothing starts on it.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { startDaemon, stopDaemons } from '../world/daemon.js'
import { as, expectSuccess } from '../world/world.js'

afterEach(stopDaemons)

const { version } = JSON.parse(readFileSync('/opt/hepwrap/package.json', 'utf8')) as {
  version: string
}
const hepwrap = (...args: string[]) => as('alice').run(['hepwrap', ...args])

/** hepwrapd with these arguments, to its end: none of these may start. */
async function hepwrapd(...args: string[]) {
  const argv = ['node', '/opt/hepwrap/dist/bin/hepwrapd.js', ...args]
  const { status, stdout, stderr } = await as('root').run(argv, { timeoutMs: 10_000 })
  return { status, stdout, stderr }
}

/** A configuration file of root's in a directory of root's. */
function configFile(text: string, mode = 0o644): string {
  const directory = mkdtempSync('/srv/config-')
  chmodSync(directory, 0o755)
  const path = join(directory, 'hepwrapd.toml')
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}

async function expectRefused(path: string, complaint: string | RegExp): Promise<void> {
  const { status, stdout, stderr } = await hepwrapd('--check-config', '--config', path)
  expect({ status, stdout }, path).toEqual({ status: 1, stdout: '' })
  expect(stderr).toMatch(complaint)
  expect(stderr).toMatch(/^hepwrapd: [^]*\(HW_CONFIG_INVALID\)\n$/)
  expect(stderr).toContain(dirname(path)) // or the file in it
}

describe('--help and --version', () => {
  it('are answered by every program and verb, without a daemon', async () => {
    expect(await hepwrapd('--version')).toEqual({
      status: 0,
      stdout: `hepwrapd ${version}\n`,
      stderr: '',
    })
    expect((await hepwrapd('--help')).stdout).toMatch(/--config FILE[^]*--check-config/)
    expect((await hepwrap('--version')).stdout).toBe(`hepwrap ${version}\n`)
    const overview = expectSuccess(await hepwrap('--help')).stdout
    const verbs = 'run images ps stop kill acct doctor explain configure clean'.split(' ')
    for (const verb of verbs) {
      expect(overview).toMatch(new RegExp(`^  ${verb} `, 'm'))
      const { stdout, stderr } = expectSuccess(await hepwrap(verb, '--help'))
      expect(stdout, verb).toMatch(new RegExp(`^Usage: hepwrap ${verb}`))
      expect(stderr).toBe('')
    }
  })

  it('an unknown command, option or argument is named', async () => {
    for (const args of [
      ['rnu'],
      [],
      ['ps', '--al'],
      ['ps', 'x'],
      ['acct', '--bogus'],
      ['explain', 'NO_CODE'],
    ]) {
      const { status, stdout, stderr } = await hepwrap(...args)
      expect({ status, stdout }, args.join(' ')).toEqual({ status: 1, stdout: '' })
      expect(stderr).toMatch(/^hepwrap: .*\(HW_[A-Z_]+\)\n$/)
      expect(stderr).toContain(args.at(-1) ?? '')
    }
    expect((await hepwrap('rnu')).stderr).toContain('"run"')
    for (const args of [['--bogus'], ['extra'], ['--config']]) {
      const { status, stderr } = await hepwrapd(...args)
      expect(status, args.join(' ')).toBe(1)
      expect(stderr).toMatch(/^hepwrapd: .*\(HW_USAGE\)\n$/)
    }
  })

  it('explain tells every code', async () => {
    const { stdout } = expectSuccess(await hepwrap('explain', 'HW_OOM_KILLED'))
    expect(stdout).toContain('--mem')
    const all = expectSuccess(await hepwrap('explain')).stdout
    const documented = readFileSync('/opt/hepwrap/docs/reason-codes.md', 'utf8')
    const codes = new Set(documented.match(/HW_[A-Z_]+/g))
    expect(codes.size).toBeGreaterThan(40)
    for (const code of codes) expect(all).toContain(code)
  })
})

describe('hepwrapd --check-config', () => {
  it('says ok to the example, to a small file and to an empty one', async () => {
    const example = configFile(readFileSync('/opt/hepwrap/config/hepwrapd.toml', 'utf8'))
    for (const path of [example, configFile('[images]\nallow = ["busybox"]\n'), configFile('')])
      expect(await hepwrapd('--check-config', '--config', path)).toEqual({
        status: 0,
        stdout: `${path}: ok\n`,
        stderr: '',
      })
  })

  it('names file, line and key of what it does not know or cannot take', async () => {
    const faults: [text: string, complaint: string][] = [
      ['[node]\nclustr = "x"\n', ':2: node.clustr: unknown key'],
      ['[nodes]\ncluster = "x"\n', ':1: nodes: unknown key'],
      ['cluster = "x"\n', ':1: cluster: unknown key'],
      [
        '\n\n[images]\nallow = "busybox"\n',
        ':4: images.allow: must be a list of texts ("busybox")',
      ],
      ['[images]\nallow = [\n  "busybox",\n  "Not An Image",\n]\n', ':4: images.allow.1: must be'],
      [
        '[images]\npull = "sometimes"\n',
        ':2: images.pull: must be one of missing, never, always ("sometimes")',
      ],
      [
        '[slurm]\noutside_jobs = true\n',
        ':2: slurm.outside_jobs: must be one of refuse, allow (true)',
      ],
      ['[node]\nsocket = "relative.sock"\n', ':2: node.socket: must be an absolute path'],
      ['[node]\nstate_dir = "/var/../etc"\n', ':2: node.state_dir: must be an absolute path'],
      ['[mounts]\nalways = ["/a"]\n', ':2: mounts.always.0: must be'],
      ['[mounts]\nalways = ["/a:/etc/passwd"]\n', ':2: mounts.always.0: target is reserved'],
      ['[mounts]\nhome = 1\n', ':2: mounts.home: must be true or false (1)'],
      [
        '[policy]\nceilings.runs_per_user = 0\n',
        ':2: policy.ceilings.runs_per_user: must be a whole number',
      ],
      ['[engine]\nsocket = "/run/hepwrap/hepwrapd.sock"\n', "must not be the engine's own socket"],
      [
        '[accounting]\naggregator = "http://a"\nauth = "token"\n',
        ': accounting.token_file: must name a file',
      ],
      ['[node]\ncluster = "a"\ncluster = "b"\n', ':3: '],
      ['[node\n', ':1: '],
      ['[node]\ncluster = "\n', ':2: '],
      ['[node]\n"__proto__" = 1\n', ':2: '],
    ]
    const expectFault = async ([text, complaint]: [string, string]) =>
      expectRefused(configFile(text), complaint)
    // Some at a time: each is a start of Node.
    while (faults.length > 0) await Promise.all(faults.splice(0, 5).map(expectFault))
  })

  it('and a start say the same', async () => {
    const path = configFile('[node]\nclustr = "x"\n')
    const started = await hepwrapd('--config', path)
    expect(started).toEqual(await hepwrapd('--check-config', '--config', path))
    expect(started.status).toBe(1)
    expect(existsSync('/run/hepwrap/hepwrapd.sock')).toBe(false)
  })

  it('tells all faults at once', async () => {
    const path = configFile('[node]\nname = "-"\n[images]\npull = 1\nalow = []\n')
    const { stderr } = await hepwrapd('--check-config', '--config', path)
    for (const line of [':2: node.name', ':4: images.pull', ':5: images.alow'])
      expect(stderr).toContain(`${path}${line}`)
  })

  it('refuses a file that others could have written', async () => {
    const text = '[images]\nallow = ["busybox"]\n'
    for (const mode of [0o664, 0o646, 0o666, 0o777]) {
      const path = configFile(text, mode)
      await expectRefused(
        path,
        `can be written by others than its owner (mode 0${mode.toString(8)})`,
      )
    }
    const foreign = configFile(text)
    chownSync(foreign, 2001, 2001)
    await expectRefused(foreign, 'belongs to uid 2001')

    const below = configFile(text)
    chmodSync(join(below, '..'), 0o777)
    await expectRefused(below, 'can be written by others')
    writeFileSync('/tmp/hepwrapd.toml', text, { mode: 0o644 })
    await expectRefused(
      '/tmp/hepwrapd.toml',
      '"/tmp" can be written by others than its owner (mode 1777)',
    )
  })

  it('refuses what is no plain file of a plain path', async () => {
    const real = configFile('')
    const link = `${real}.link`
    symlinkSync(real, link)
    await expectRefused(link, 'is a symbolic link')
    const linked = mkdtempSync('/srv/config-')
    symlinkSync(join(real, '..'), join(linked, 'etc'))
    await expectRefused(join(linked, 'etc/hepwrapd.toml'), 'is a symbolic link')
    const fifo = `${real}.fifo`
    execFileSync('mkfifo', ['-m', '0600', fifo])
    await expectRefused(fifo, 'is not a regular file')
    mkdirSync(`${real}.d`)
    await expectRefused(`${real}.d`, 'is not a regular file')
    await expectRefused('/srv/no-such.toml', 'no such file')
    await expectRefused('srv/relative.toml', 'must be an absolute path')
    await expectRefused(configFile('x'.repeat(2 * 1024 ** 2)), 'is larger than')
  })
})

describe('hepwrapd', () => {
  it('is for root', async () => {
    const path = configFile('')
    const argv = ['/opt/hepwrap/dist/bin/hepwrapd.js', '--config', path]
    const { status, stderr } = await as('alice').run(['node', ...argv])
    expect(status).toBe(1)
    expect(stderr).toBe('hepwrapd: hepwrapd must run as root (HW_ROOT_ONLY)\n')
  })

  it('does not start beside another on the same socket or ledger, and leaves that one alone', async () => {
    const daemon = await startDaemon()
    const same = await hepwrapd('--config', daemon.configPath)
    expect(same.status).toBe(1)
    expect(same.stderr).toMatch(/\(HW_LEDGER_UNAVAILABLE\)/)
    const text = readFileSync(daemon.configPath, 'utf8')
    const elsewhere = text.replace(/state_dir = .*/, 'state_dir = "/srv/other-state"')
    const other = await hepwrapd('--config', configFile(elsewhere))
    expect(other.status).toBe(1)
    expect(other.stderr).toContain('another program answers at "/run/hepwrap/hepwrapd.sock"')
    expect((await hepwrap('ps')).status).toBe(0)
  })

  it('takes the place of a dead one, whose socket is still there', async () => {
    const daemon = await startDaemon()
    await daemon.kill()
    expect(existsSync(daemon.socketPath)).toBe(true)
    await daemon.restart()
    expect((await hepwrap('ps')).status).toBe(0)
    expect(await daemon.stop()).toBe(0)
  })

  it('is found by --config, by HEPWRAP_SOCKET, and said to be down where it is not', async () => {
    const daemon = await startDaemon({ config: { node: { socket: '/run/hepwrap/another.sock' } } })
    chmodSync(join(daemon.configPath, '..'), 0o755)
    expect((await hepwrap('--config', daemon.configPath, 'ps')).status).toBe(0)
    expect((await hepwrap('ps', '--config', daemon.configPath)).status).toBe(0)
    const env = { HEPWRAP_SOCKET: daemon.socketPath }
    expect((await as('alice').run(['hepwrap', 'ps'], { env })).status).toBe(0)
    const down = await hepwrap('ps')
    expect(down.status).toBe(1)
    expect(down.stderr).toBe(
      'hepwrap: hepwrapd does not answer on this node: /run/hepwrap/hepwrapd.sock (HW_DAEMON_DOWN)\n',
    )
  })
})
