// The command line of `hepwrap run`: docker's manners, every option, every refusal.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { HepwrapError } from '../../../src/base/errors.js'
import { parseRunLine } from '../../../src/cli/run-options.js'

const parse = (...args: string[]) => parseRunLine(args, { HERE: 'from here', EMPTY: '' })
const requestOf = (...args: string[]) => parse(...args).request

function refusal(...args: string[]): string {
  try {
    parse(...args)
  } catch (error) {
    if (error instanceof HepwrapError) return `${error.message} (${error.code})`
  }
  return 'accepted'
}

describe('the end of the options', () => {
  it.each([
    [['img'], 'img', []],
    [['img', 'ls', '-l', '--rm', '-v'], 'img', ['ls', '-l', '--rm', '-v']],
    [['-i', 'img', '--', '-x'], 'img', ['--', '-x']],
    [['--', 'img', 'cmd'], 'img', ['cmd']],
    [['--', '-img'], '-img', []],
    [['--rm', '-it', 'img', ''], 'img', ['']],
    [['-'], '-', []],
  ])('%j', (args, image, command) => {
    expect(requestOf(...args)).toMatchObject({ image, command })
  })
})

describe('each option', () => {
  it.each<[string[], object]>([
    [['-i'], { interactive: true, tty: false }],
    [['-it'], { interactive: true, tty: true }],
    [['-ti', '--interactive=false'], { interactive: false, tty: true }],
    [['-itw/x'], { interactive: true, tty: true, workdir: '/x' }],
    [['-itw', '/x'], { workdir: '/x' }],
    [['-w=/x'], { workdir: '/x' }],
    [['--workdir=/a=b'], { workdir: '/a=b' }],
    [
      ['-eA=1', '-e', 'B=2', '--env=C=3', '--env', 'D=4=5', '-e=E=6'],
      { env: { A: '1', B: '2', C: '3', D: '4=5', E: '6' } },
    ],
    [
      ['-e', 'HERE', '-e', 'EMPTY', '-e', 'ABSENT', '-eX='],
      { env: { HERE: 'from here', EMPTY: '', X: '' } },
    ],
    [['-e', 'A=1', '-e', 'A=2'], { env: { A: '2' } }],
    [['--entrypoint', ''], { entrypoint: '' }],
    [['--entrypoint=/bin/sh'], { entrypoint: '/bin/sh' }],
    [['--name', 'a.b-c_1'], { name: 'a.b-c_1' }],
    [['-l', 'a=b=c', '--label=d', '-l', 'e='], { labels: { a: 'b=c', d: '', e: '' } }],
    [['--network', 'none'], { network: 'none', forbidden: [] }],
    [['--net=host'], { network: 'host', forbidden: [] }],
    [['--read-only'], { read_only: true }],
    [['--read-only', '--read-only=0'], { read_only: false }],
    [['--shm-size', '64m'], { shm_size_bytes: 64 * 1024 ** 2 }],
    [['-m', '1.5g'], { memory_bytes: 1.5 * 1024 ** 3 }],
    [['-m100m'], { memory_bytes: 100 * 1024 ** 2 }],
    [['--memory=2GiB'], { memory_bytes: 2 * 1024 ** 3 }],
    [['--memory', '4096'], { memory_bytes: 4096 }],
    [['--memory', '5kb'], { memory_bytes: 5120 }],
    [['--memory', '7b'], { memory_bytes: 7 }],
    [['--cpus', '1.5'], { cpus: 1.5 }],
    [['--cpus=.5'], { cpus: 0.5 }],
    [
      ['--ulimit', 'nofile=1024:2048', '--ulimit', 'core=0', '--ulimit', 'memlock=-1'],
      {
        ulimits: [
          { name: 'nofile', soft: 1024, hard: 2048 },
          { name: 'core', soft: 0, hard: 0 },
          { name: 'memlock', soft: -1, hard: -1 },
        ],
      },
    ],
    [['--stop-timeout', '0'], { stop_timeout_s: 0 }],
    [['--pull', 'always'], { pull: 'always' }],
    [['--host-env'], { all_host_env: true }],
    [['-V'], { verbose: true }],
    [['--verbose'], { verbose: true }],
    [['--rm', '--init', '--rm=true'], { forbidden: [] }],
    [
      ['--tmpfs', '/t', '--tmpfs=/u:size=1m,mode=1777,rw,nosuid'],
      {
        tmpfs: [{ target: '/t' }, { target: '/u', size_bytes: 1024 ** 2, mode: 0o1777 }],
      },
    ],
    [
      ['--mount', 'type=tmpfs,dst=/t,tmpfs-size=2k,tmpfs-mode=0700'],
      {
        tmpfs: [{ target: '/t', size_bytes: 2048, mode: 0o700 }],
      },
    ],
  ])('%j', (args, expected) => {
    expect(requestOf(...args, 'img')).toMatchObject(expected)
  })

  it('leaves out what was not said', () => {
    expect(requestOf('img')).toEqual({
      image: 'img',
      command: [],
      env: {},
      all_host_env: false,
      interactive: false,
      tty: false,
      labels: {},
      read_only: false,
      ulimits: [],
      tmpfs: [],
      forbidden: [],
      verbose: false,
    })
  })

  it('--no-home, --no-cwd and --config are the client’s own', () => {
    expect(parse('img')).toMatchObject({ mountHome: true, mountCwd: true, config: undefined })
    expect(parse('--no-home', '--no-cwd', '--config', 'f', 'img')).toMatchObject({
      mountHome: false,
      mountCwd: false,
      config: 'f',
    })
  })

  it('takes a variable named __proto__ for what it is', () => {
    expect(JSON.stringify(requestOf('-e', '__proto__=x', 'img').env)).toBe('{"__proto__":"x"}')
  })
})

describe('mounts', () => {
  it.each<[string[], object]>([
    [['-v', '/a:/b'], { source: '/a', target: '/b', readOnly: false }],
    [['-v/a:/b:ro'], { source: '/a', target: '/b', readOnly: true }],
    [['--volume=/a:/b:rw'], { source: '/a', target: '/b', readOnly: false }],
    [['-v', './x:/b'], { source: `${process.cwd()}/x`, target: '/b' }],
    [['-v', '.:/b'], { source: process.cwd(), target: '/b' }],
    [['-v', '..:/b'], { source: join(process.cwd(), '..') }],
    [['-v', '../x:/b'], { source: join(process.cwd(), '../x') }],
    [['-v', '/a b/ü:/c d'], { source: '/a b/ü', target: '/c d' }],
    [
      ['--mount', 'type=bind,source=/a,target=/b,readonly'],
      { source: '/a', target: '/b', readOnly: true },
    ],
    [
      ['--mount', 'type=bind,src=/a,dst=/b,ro=false'],
      { source: '/a', target: '/b', readOnly: false },
    ],
    [
      ['--mount', 'Type=bind,Source=/a,destination=/b'],
      { source: '/a', target: '/b', readOnly: false },
    ],
    [['--mount', 'type=bind,source=/a:b c,target=/b:c'], { source: '/a:b c', target: '/b:c' }],
    [['--mount', 'type=bind,"source=/a,b","target=/q""q"'], { source: '/a,b', target: '/q"q' }],
    [['--mount', 'type=bind,source=a/b,target=/c'], { source: join(process.cwd(), 'a/b') }],
    [['--mount', 'type=bind,source=/a=b,target=/c'], { source: '/a=b' }],
  ])('%j', (args, wish) => {
    expect(parse(...args, 'img').wishes).toMatchObject([wish])
  })
})

describe('options that hepwrap never allows', () => {
  it.each<[string[], string[]]>([
    [['--privileged'], ['--privileged']],
    [['--privileged=false'], ['--privileged=false']],
    [['-u', '0'], ['--user=0']],
    [['-u0:0'], ['--user=0:0']],
    [['--user', 'root'], ['--user=root']],
    [['--pid', 'host'], ['--pid=host']],
    [
      ['--ipc=host', '--uts=host', '--userns=host'],
      ['--ipc=host', '--uts=host', '--userns=host'],
    ],
    [
      ['--cap-add', 'ALL', '--cap-drop=ALL'],
      ['--cap-add=ALL', '--cap-drop=ALL'],
    ],
    [['--cgroup-parent', '/'], ['--cgroup-parent=/']],
    [['--security-opt', 'seccomp=unconfined'], ['--security-opt=seccomp=unconfined']],
    [['--device', '/dev/sda:/dev/sdb'], ['--device=/dev/sda:/dev/sdb']],
    [['--device', '/dev/sda:/dev/sda:rwm'], ['--device=/dev/sda:/dev/sda:rwm']],
    [['--device', 'vendor.com/gpu=0'], ['--device=vendor.com/gpu=0']],
    [['--network', 'container:x'], ['--network=container:x']],
    [['--net=bridge'], ['--network=bridge']],
    [['-d'], ['--detach']],
    [['-dit'], ['--detach']],
    [
      ['-p', '80:80', '-P'],
      ['--publish=80:80', '--publish-all'],
    ],
    [['-h', 'name'], ['--hostname=name']],
    [['-a', 'stdout'], ['--attach=stdout']],
    [
      ['--gpus', 'all', '--group-add=0'],
      ['--gpus=all', '--group-add=0'],
    ],
    [
      ['--volumes-from', 'x', '--runtime', 'y'],
      ['--volumes-from=x', '--runtime=y'],
    ],
    [['--rm=false'], ['--rm=false']],
    [['--init=0'], ['--init=false']],
    [['--sysctl', 'a=b'], ['--sysctl=a=b']],
  ])('%j is sent on, so that the refusal is recorded', (args, forbidden) => {
    expect(requestOf(...args, 'img', 'cmd')).toMatchObject({
      image: 'img',
      command: ['cmd'],
      forbidden,
    })
  })

  it('are cut to what the daemon reads', () => {
    const { forbidden } = requestOf(
      ...Array.from({ length: 100 }, () => `--user=${'x'.repeat(5000)}`),
      'img',
    )
    expect(forbidden).toHaveLength(64)
    expect(forbidden[0]).toHaveLength(4096)
  })
})

describe('a bad command line is refused in one line that quotes it', () => {
  it.each([
    [['--foo', 'img'], 'unknown option "--foo" (HW_OPTION_UNKNOWN)'],
    [
      ['--volum=/a:/b', 'img'],
      'unknown option "--volum"; did you mean "--volume"? (HW_OPTION_UNKNOWN)',
    ],
    [['--evn', 'A=1', 'img'], 'unknown option "--evn"; did you mean "--env"? (HW_OPTION_UNKNOWN)'],
    [['--privilegd', 'img'], 'unknown option "--privilegd" (HW_OPTION_UNKNOWN)'],
    [['-x', 'img'], 'unknown option "-x" (HW_OPTION_UNKNOWN)'],
    [['-itx', 'img'], 'unknown option "-x" (HW_OPTION_UNKNOWN)'],
    [['--\u001b[2J', 'img'], 'unknown option "--\\u001b[2J" (HW_OPTION_UNKNOWN)'],
    [[], 'the image is missing: hepwrap run [options] IMAGE [COMMAND...] (HW_USAGE)'],
    [['-i', '--'], 'the image is missing: hepwrap run [options] IMAGE [COMMAND...] (HW_USAGE)'],
    [['-v'], 'option "-v" needs a value (HW_USAGE)'],
    [['-it', '--name'], 'option "--name" needs a value (HW_USAGE)'],
    [['--pid'], 'option "--pid" needs a value (HW_USAGE)'],
    [['--tty=maybe', 'img'], '--tty="maybe" is neither true nor false (HW_OPTION_INVALID)'],
  ])('%j', (args, message) => expect(refusal(...args)).toBe(message))

  it.each([
    [
      '--volume=name:/x',
      /^--volume "name:\/x": named volumes are not supported; for a path write "\.\/name" \(HW_MOUNT_SOURCE\)$/,
    ],
    ['--volume=a/b:/x', /named volumes are not supported.*\(HW_MOUNT_SOURCE\)$/],
    ['--volume=.hidden:/x', /named volumes.*\(HW_MOUNT_SOURCE\)$/],
    ['--volume=/only', /^--volume "\/only": anonymous volumes.*\(HW_OPTION_INVALID\)$/],
    ['--volume=', /HW_OPTION_INVALID/],
    ['--volume=:/x', /the source is empty \(HW_OPTION_INVALID\)$/],
    ['--volume=/a:', /the target "" is not an absolute path \(HW_MOUNT_TARGET\)$/],
    ['--volume=/a:b', /the target "b" is not an absolute path \(HW_MOUNT_TARGET\)$/],
    ['--volume=/a:/b:z', /the mode "z" is neither ro nor rw \(HW_OPTION_INVALID\)$/],
    ['--volume=/a:/b:', /the mode "" is neither/],
    ['--volume=/a:/b:ro:x', /too many colons.*\(HW_OPTION_INVALID\)$/],
    ['--mount=', /HW_OPTION_INVALID/],
    ['--mount=source=/a,target=/b', /the type must be bind or tmpfs/],
    ['--mount=type=volume,source=a,target=/b', /the type must be bind or tmpfs/],
    ['--mount=type=bind,target=/b', /the source is missing/],
    ['--mount=type=bind,source=/a', /HW_MOUNT_TARGET/],
    ['--mount=type=bind,source,target=/b', /"source" needs a value/],
    [
      '--mount=type=bind,source=/a,target=/b,bind-propagation=shared',
      /unknown field "bind-propagation"/,
    ],
    ['--mount=type=bind,source=/a,src=/c,target=/b', /"source" is given twice/],
    [
      '--mount=type=bind,source=/a,target=/b,tmpfs-size=1',
      /"tmpfs-size" does not go with type=bind/,
    ],
    ['--mount=type=bind,source=/a,target=/b,readonly=maybe', /readonly="maybe"/],
    ['--mount=type=bind,"source=/a,target=/b', /a quote is in the wrong place/],
    ['--mount=type=bind,source="/a",target=/b', /a quote is in the wrong place/],
    ['--tmpfs=t', /HW_MOUNT_TARGET/],
    ['--tmpfs=/t:exec', /"exec" is not size=SIZE or mode=OCTAL/],
    ['--tmpfs=/t:size=50%', /tmpfs size "50%": not a size/],
    ['--tmpfs=/t:mode=9', /not an octal mode/],
    ['--env==x', /^--env "=x": the name is empty \(HW_OPTION_INVALID\)$/],
    ['--env=', /the name is empty/],
    ['--memory=lots', /^--memory "lots": not a size like 64m or 1.5g \(HW_OPTION_INVALID\)$/],
    ['--memory=0', /out of range/],
    ['--memory=-1', /not a size/],
    ['--memory=1e9', /not a size/],
    ['--memory=99999p', /out of range/],
    ['--shm-size=', /^--shm-size "": not a size/],
    ['--cpus=0', /not a number of processors above 0/],
    ['--cpus=two', /not a number/],
    ['--cpus=NaN', /not a number/],
    ['--ulimit=nofile', /must be NAME=SOFT/],
    ['--ulimit=nofile=1:2:3', /must be NAME=SOFT/],
    ['--ulimit=nofiles=1', /names are core cpu/],
    ['--ulimit=nofile=9:1', /above the hard one/],
    ['--ulimit=nofile=-1:5', /above the hard one/],
    ['--stop-timeout=-1', /not seconds from 0 to 3600/],
    ['--stop-timeout=3601', /not seconds/],
    ['--stop-timeout=1.5', /not seconds/],
    ['--label==x', /must be KEY or KEY=VALUE/],
    ['--workdir=rel', /must be an absolute path/],
    ['--pull=maybe', /^--pull "maybe": must be missing, never or always \(HW_OPTION_INVALID\)$/],
    ['--name=a/b', /^--name "a\/b": may hold letters/],
    ['--name=', /may hold letters/],
  ])('%s', (option, message) => {
    const said = refusal(option, 'img')
    expect(said).toMatch(message)
    expect(said).not.toContain('\n')
  })
})

describe('--env-file', () => {
  let directory: string
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'hepwrap-env-'))
  })
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  const file = (content: string | Buffer): string => {
    const path = join(directory, `${Math.random()}`)
    writeFileSync(path, content)
    return path
  }

  it('reads docker’s grammar', () => {
    const path = file(
      '\ufeff# comment\r\nA=1\r\n\n  B = "x y" \n   # more\nHERE\nABSENT\nC=\nD=a=b#c\n',
    )
    expect(() => requestOf('--env-file', path, 'img')).toThrow('"B " holds white space')
    const good = file('\ufeffA=1\r\n# no\n\n  B="x y" \nHERE\nABSENT\nC=\nD=a=b#c')
    expect(requestOf('--env-file', good, 'img').env).toEqual({
      A: '1',
      B: '"x y" ',
      HERE: 'from here',
      C: '',
      D: 'a=b#c',
    })
  })

  it('is overruled by -e, wherever that stands', () => {
    const path = file('A=file\nB=file')
    expect(requestOf('-e', 'A=line', '--env-file', path, 'img').env).toEqual({
      A: 'line',
      B: 'file',
    })
  })

  it('says which line is bad', () => {
    const bad = (content: string | Buffer) => refusal('--env-file', file(content), 'img')
    expect(bad('A=1\n=x')).toMatch(/:2": the name is empty \(HW_OPTION_INVALID\)$/)
    expect(bad('A=1\n\nB=\0')).toMatch(/:3": there is a NUL byte/)
    expect(bad('A B=1')).toMatch(/:1": the name "A B" holds white space/)
    expect(bad(Buffer.from([0x41, 0x3d, 0xff, 0xfe]))).toMatch(/not UTF-8 text/)
  })

  it('says that it cannot be read', () => {
    expect(refusal('--env-file', join(directory, 'none'), 'img')).toMatch(
      /cannot be read: ENOENT \(HW_OPTION_INVALID\)$/,
    )
    expect(refusal('--env-file', directory, 'img')).toMatch(/cannot be read: EISDIR/)
  })

  it('is bounded', () => {
    expect(refusal('--env-file', '/dev/zero', 'img')).toMatch(
      /larger than 16 MiB \(HW_ENV_TOO_LARGE\)$/,
    )
  })
})
