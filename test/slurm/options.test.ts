// The options of `hepwrap run` one by one, as somebody who knows docker expects them to work.
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually, PATIENCE } from '../world/eventually.js'
import { clientsOf } from '../world/runs.js'
import { engine, leftovers, nothing } from '../world/traces.js'
import { as, expectSuccess } from '../world/world.js'
import {
  complaint,
  hepwrapRun,
  hepwrapRuns,
  recordNamed,
  records,
  type RunOptions,
} from './job-runs.js'

beforeAll(() => startDaemon({ config: { mounts: { always: [], deny: ['/scratch/closed'] } } }))
afterAll(stopDaemons)
afterEach(async () => expect(await leftovers()).toEqual(nothing))

/** The results of these runs, in one job step. */
const runs = (argLists: string[][], options?: RunOptions) => hepwrapRuns('alice', argLists, options)

/** What a shell inside prints, for each of these options and scripts. */
async function inside(wanted: [args: string[], script: string][], options?: RunOptions) {
  const argLists = wanted.map(([args, script]) => [...args, 'busybox:test', 'sh', '-c', script])
  return (await runs(argLists, options)).map(({ stdout, stderr }) => stderr + stdout.trim())
}

/** What is said to each of these options, every one of which is refused. */
async function refusals(words: string[], options?: RunOptions): Promise<string[]> {
  const results = await runs(
    words.map((word) => [word, 'busybox:test', 'true']),
    options,
  )
  return results.map((result, index) => {
    expect(result, words[index]).toMatchObject({ status: 125, stdout: '' })
    expect(complaint(result).split('\n')).toHaveLength(1)
    return complaint(result)
  })
}

async function refuses(option: string, values: string[], code: RegExp | string): Promise<void> {
  const lines = await refusals(values.map((value) => `${option}=${value}`))
  for (const [index, line] of lines.entries()) expect(line, values[index]).toMatch(code)
}

describe('-w, --workdir', () => {
  it('is where the command begins, made by nobody', async () => {
    const [etc, tmp, relative, absent, closed] = await runs([
      ['-w', '/etc', 'busybox:test', 'pwd'],
      ['--workdir=/etc/../tmp/', 'busybox:test', 'pwd'],
      ['-w', 'etc', 'busybox:test', 'pwd'],
      ['-w', '/no/such', 'busybox:test', 'true'],
      ['-w', '/proc/1/cwd/x', 'busybox:test', 'true'],
    ])
    expect([etc!.stdout, tmp!.stdout]).toEqual(['/etc\n', '/tmp\n'])
    expect(relative!.status).toBe(125)
    expect(complaint(relative!)).toMatch(/"etc".*\(HW_OPTION_INVALID\)$/)
    expect(absent!.status).toBe(126)
    expect(complaint(absent!)).toMatch(/"\/no\/such".*no such file or directory \(HW_WORKDIR\)$/)
    expect(closed!.status).toBe(126)
  })

  it("is the caller's own without it, and the image's where that is not mounted", async () => {
    mkdirSync('/scratch/here', { recursive: true, mode: 0o777 })
    const cwd = '/scratch/here'
    expect(
      await inside(
        [
          [[], 'pwd'],
          [['--no-cwd'], 'pwd'],
        ],
        { cwd },
      ),
    ).toEqual([cwd, '/'])
  })

  it("is the image's where the caller's own may not be mounted, unless he asks for it", async () => {
    mkdirSync('/scratch/closed/below', { recursive: true, mode: 0o777 })
    const argLists = [
      ['busybox:test', 'pwd'],
      ['-w', '/scratch/closed/below', 'busybox:test', 'pwd'],
    ]
    const [own, asked] = await runs(argLists, { cwd: '/scratch/closed/below' })
    expect(own).toEqual({ status: 0, stdout: '/\n', stderr: '' })
    expect(asked!.status).toBe(126)
    expect(complaint(asked!)).toContain('(HW_WORKDIR)')
  })

  it('keeps the name by which the caller went there', async () => {
    mkdirSync('/scratch/real', { recursive: true, mode: 0o777 })
    rmSync('/scratch/link', { force: true })
    symlinkSync('/scratch/real', '/scratch/link')
    const script = 'cd /scratch/link && hepwrap run busybox:test pwd'
    expect((await as('alice').srun(['-Q', 'bash', '-c', script])).stdout).toBe('/scratch/link\n')
  })
})

describe('--entrypoint', () => {
  it("replaces the image's, takes the command as its arguments, and drops the image's command", async () => {
    const [words, none, plain, missing] = await runs([
      ['--entrypoint', 'echo', 'busybox:test', 'a', 'b  c', ''],
      ['--entrypoint', 'echo', 'busybox:test'],
      ['--entrypoint', '', 'busybox:test', 'echo', 'plain'],
      ['--entrypoint', '', 'busybox:test'],
    ])
    expect([words!, none!, plain!].map(({ stdout }) => stdout)).toEqual([
      'a b  c \n',
      '\n',
      'plain\n',
    ])
    expect(missing!.status).toBe(125)
    expect(complaint(missing!)).toContain('(HW_COMMAND_MISSING)')
  })

  it("is the image's own without it, and the command goes behind that", async () => {
    const docker = async (...args: string[]) =>
      expectSuccess(await as('root').run(['docker', ...args]))
    await docker('create', '--name', 'entry', 'busybox:test', 'x')
    const change = ['--change', 'ENTRYPOINT ["echo", "entry"]', '--change', 'CMD ["cmd"]']
    // Under the allowed name of an image that this file does not use.
    await docker('commit', ...change, 'entry', 'docker.io/library/debian:test')
    await docker('rm', 'entry')
    try {
      const results = await runs([
        ['debian:test'],
        ['debian:test', 'mine'],
        ['--entrypoint', 'id', 'debian:test', '-u'],
      ])
      expect(results.map(({ stdout }) => stdout)).toEqual(['entry cmd\n', 'entry mine\n', '2001\n'])
    } finally {
      await docker('rmi', 'debian:test')
      expectSuccess(await as('root').run(['/opt/hepwrap/test/world/images', 'debian:test']))
    }
  })
})

describe('--name and --label', () => {
  it('stand in the record; the same name may be used again, and at the same time', async () => {
    const args = ['--name', 'twice', '--label', 'run=7', '-l', 'empty', '--label', 'text=a=b "c"']
    const slurm = ['-p', 'shared', '-n', '2', '--overcommit']
    const twice = await hepwrapRun('alice', [...args, 'busybox:test', 'true'], { slurm })
    expect(twice.status).toBe(0)
    await runs([[...args, 'busybox:test', 'true']])
    const mine = (await records('alice')).filter(({ name }) => name === 'twice')
    expect(mine).toHaveLength(3)
    for (const { labels } of mine) expect(labels).toEqual({ run: '7', empty: '', text: 'a=b "c"' })
    expect(new Set(mine.map(({ id }) => id)).size).toBe(3)
  })

  it('are refused where they are malformed, or ours', async () => {
    const names = ['', '-x', 'a b', 'a/b', '../x', 'x'.repeat(256)]
    await refuses('--name', names, '(HW_OPTION_INVALID)')
    const labels = ['', '=x', 'hepwrap.run=1', 'hepwrap.node=x', '__proto__=x']
    await refuses('--label', labels, '(HW_OPTION_INVALID)')
  })
})

describe('--network', () => {
  it("of host, the default, is the node's; of none has the loopback interface only", async () => {
    const namespace = expectSuccess(await as('root').run(['readlink', '/proc/self/ns/net'])).stdout
    const names = "tail -n +3 /proc/net/dev | sed 's/:.*//; s/ //g'"
    const slurmctld = 'nc -w 1 192.0.2.1 6817 </dev/null 2>/dev/null && echo reached || echo cut'
    const answers = await inside([
      [[], 'readlink /proc/self/ns/net'],
      [['--network', 'host'], 'hostname'],
      [[], slurmctld],
      [['--network', 'none'], names],
      [['--net=none'], 'ip -o address | grep -v " lo "; ip route'],
      [['--network', 'none'], slurmctld],
    ])
    expect(answers).toEqual([namespace.trim(), 'hepnode', 'reached', 'lo', '', 'cut'])
  })

  it('of anything else is refused by name', async () => {
    const words = ['bridge', 'container:abc', 'default', ''].map((word) => `--network=${word}`)
    for (const [index, line] of (await refusals(words)).entries())
      expect(line).toBe(`hepwrap: option "${words[index]!}" is never allowed (HW_OPTION_FORBIDDEN)`)
  })
})

describe('--shm-size', () => {
  it('is the size of /dev/shm', async () => {
    const size = "df -k /dev/shm | tail -1 | awk '{print $2}'"
    const answers = await inside([
      [['--shm-size', '32m'], size],
      [[], size],
    ])
    expect(answers).toEqual(['32768', '65536'])
    await refuses('--shm-size', ['0', 'x', '', '999g'], /\(HW_(OPTION_INVALID|LIMIT_ABOVE_JOB)\)$/)
  })
})

describe('--read-only', () => {
  it("keeps the image's file system from being written; mounts and tmpfs can be", async () => {
    const script = `for f in /x /tmp/x /etc/x $HOME/probe /dev/shm/x; do
      touch $f 2>/dev/null && echo $f; done; rm -f $HOME/probe`
    const answers = await inside([
      [['--read-only'], script],
      [['--read-only', '--tmpfs', '/tmp'], script],
      [[], script],
    ])
    const always = '/home/alice/probe\n/dev/shm/x'
    expect(answers).toEqual([always, `/tmp/x\n${always}`, `/tmp/x\n${always}`])
  })
})

describe('--tmpfs', () => {
  it('is empty, of its own, of the given size and mode', async () => {
    const script = `stat -c %a /t; df -k /t | tail -1 | awk '{print $1, $2}'; ls -A /t | wc -l
      touch /t/x && echo written`
    const overfull = 'dd if=/dev/zero of=/t/x bs=1M count=9 2>&1 | grep -o "No space.*"'
    const options = "grep ' /t ' /proc/mounts | grep -o 'nosuid,nodev,noexec'"
    const mount = 'type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1777'
    const answers = await inside([
      [['--tmpfs', '/t:size=8m,mode=0777'], script],
      [['--mount', mount], script],
      [['--tmpfs', '/t:size=8m'], overfull],
      [['--tmpfs', '/t'], options],
    ])
    expect(answers).toEqual([
      '777\ntmpfs 8192\n0\nwritten',
      '1777\ntmpfs 1024\n0\nwritten',
      'No space left on device',
      'nosuid,nodev,noexec',
    ])
  })

  it("is charged to the job's memory", async () => {
    const fill = ['dd', 'if=/dev/zero', 'of=/t/x', 'bs=1M', 'count=150']
    const args = ['--name', 'fill', '--tmpfs', '/t', 'busybox:test', ...fill]
    expect((await hepwrapRun('alice', args, { slurm: ['--mem=100'] })).status).not.toBe(0)
    expect(await recordNamed('fill')).toMatchObject({ state: 'OUT_OF_MEMORY' })
  })

  it('is refused where it is malformed', async () => {
    const values = ['t', '', '/t:size=x', '/t:mode=9', '/t:exec', '/t:suid', '/proc', '/']
    await refuses('--tmpfs', [...values, '/etc/passwd'], /\(HW_(OPTION_INVALID|MOUNT_TARGET)\)$/)
  })
})

describe('--ulimit', () => {
  it('sets soft and hard limits, downward', async () => {
    const large = 'dd if=/dev/zero of=/tmp/x bs=1M count=3 2>/dev/null; stat -c %s /tmp/x'
    const answers = await inside([
      [['--ulimit', 'nofile=100:200', '--ulimit', 'core=0'], 'ulimit -Sn; ulimit -Hn; ulimit -Sc'],
      [['--ulimit', 'nofile=64'], 'ulimit -Sn; ulimit -Hn'],
      [['--ulimit', 'fsize=1048576'], large],
    ])
    expect(answers).toEqual(['100\n200\n0', '64\n64', '1048576'])
  })

  it("never above the caller's own, whatever the engine could give", async () => {
    const limits = ['nofile=500', 'nofile=501', 'nofile=-1', 'rtprio=99', 'memlock=-1:-1']
    const each = limits.map(
      (limit) => `hepwrap run --ulimit ${limit} busybox:test sh -c 'ulimit -Hn'`,
    )
    const script = `ulimit -n 500; ulimit -l 64; ${each.join('; ')}`
    const result = await as('alice').srun(['-Q', 'bash', '-c', script])
    expect(result.stdout).toBe('500\n')
    const [first, ...others] = complaint(result).split('\n')
    expect(first).toBe('hepwrap: --ulimit nofile=501: your own limit is 500 (HW_LIMIT_ABOVE_JOB)')
    expect(others).toHaveLength(3)
    for (const line of others) expect(line).toContain('(HW_LIMIT_ABOVE_JOB)')
  })

  it('is refused where it is malformed', async () => {
    const values = ['nofile', 'nofile=', 'nofile=x', 'nofile=2:1', 'nosuch=1', 'nofile=1:2:3', '']
    await refuses('--ulimit', values, '(HW_OPTION_INVALID)')
  })
})

describe('--stop-timeout', () => {
  it('is what the command has between SIGTERM and SIGKILL', async () => {
    const script = 'trap "echo told >$HOME/told" TERM; echo ready; while :; do sleep 0.05; done'
    const options = ['--stop-timeout', '1', '--name', 'deaf']
    // The shell stays, so that Slurm does not end the step with the client.
    const line = `hepwrap run ${options.join(' ')} busybox:test sh -c '${script}'; cat`
    const step = as('alice').startSrun(['-Q', 'sh', '-c', line])
    await eventually(() => step.stdoutSoFar().includes('ready'))
    const startedAt = performance.now()
    process.kill(clientsOf('deaf')[0]!.pid, 'SIGKILL')
    await eventually(async () => (await leftovers()).inits.length === 0, { timeoutMs: 5000 })
    const tookMs = performance.now() - startedAt
    expect(tookMs).toBeGreaterThan(900)
    expect(tookMs).toBeLessThan(3000 * PATIENCE)
    expect(await recordNamed('deaf', /CANCELLED/)).toMatchObject({ reason: 'HW_CLIENT_GONE' })
    expect((await as('alice').run(['cat', 'told'])).stdout).toBe('told\n')
    step.child.stdin?.end()
    await step.result
    await refuses('--stop-timeout', ['-1', 'x', '3601', '1.5', ''], '(HW_OPTION_INVALID)')
  })
})

describe('-m, --memory', () => {
  const slurm = ['--mem=400']
  const hog = (mebibytes: number) =>
    `busybox:test dd if=/dev/zero of=/dev/null bs=${mebibytes}M count=1`.split(' ')

  it('binds inside the job, and leaves the job alone', async () => {
    const limited = (name: string) => ['--name', name, '-m', '100m']
    const results = await runs(
      [[...limited('fits'), ...hog(60)], [...limited('bursts'), ...hog(150)], hog(150)],
      { slurm },
    )
    expect(results.map(({ status }) => status)).toEqual([0, 137, 0])
    expect(complaint(results[1]!)).toContain('(HW_OOM_KILLED)')
    expect(await recordNamed('bursts')).toMatchObject({
      state: 'OUT_OF_MEMORY',
      memory_limit_bytes: 100 * 1024 ** 2,
      oom_kills: 1,
    })
    expect(await recordNamed('fits')).toMatchObject({ state: 'COMPLETED', oom_kills: 0 })
  })

  it("never goes above the job's", async () => {
    expect(await refusals(['--memory=401m'], { slurm })).toEqual([
      'hepwrap: --memory 420478976: the job has 419430400 bytes of memory (HW_LIMIT_ABOVE_JOB)',
    ])
    const [same] = await runs([['-m', '400m', 'busybox:test', 'true']], { slurm })
    expect(same!.status).toBe(0)
    const values = ['0', '-1', 'x', '1kb2', '', '1m', '999999999999999999999']
    await refuses('--memory', values, /\(HW_(OPTION_INVALID|LIMIT_ABOVE_JOB)\)$/)
  })
})

describe('--cpus', () => {
  it('binds: a busy loop gets its share only', async () => {
    const args = ['--name', 'half', '--cpus', '0.25', 'busybox:test']
    await runs([[...args, 'timeout', '2', 'sh', '-c', 'while :; do :; done']])
    const { cpu_user_usec, cpu_system_usec, cpus } = await recordNamed('half')
    expect(cpus).toBe(0.25)
    const seconds = (cpu_user_usec! + cpu_system_usec!) / 1e6
    expect(seconds).toBeGreaterThan(0.2)
    expect(seconds).toBeLessThan(0.75)
  })

  it("never goes above the job's", async () => {
    expect(await refusals(['--cpus=2'], { slurm: ['-c', '1'] })).toEqual([
      'hepwrap: --cpus 2: the job has 1 cpus (HW_LIMIT_ABOVE_JOB)',
    ])
    await refuses('--cpus', ['0', '-1', 'x', '', '0.001', '1e3'], '(HW_OPTION_INVALID)')
  })
})

describe('--no-home and --no-cwd', () => {
  it('leave them out', async () => {
    writeFileSync('/home/alice/mark', 'x')
    mkdirSync('/scratch/work', { recursive: true, mode: 0o777 })
    writeFileSync('/scratch/work/mark', 'x')
    const script = 'ls /home/alice/mark /scratch/work/mark 2>/dev/null; echo $HOME'
    const answers = await inside(
      [
        [[], script],
        [['--no-home'], script],
        [['--no-cwd'], script],
        [['--no-home', '--no-cwd'], script],
      ],
      { cwd: '/scratch/work' },
    )
    rmSync('/home/alice/mark')
    expect(answers).toEqual([
      '/home/alice/mark\n/scratch/work/mark\n/home/alice',
      '/scratch/work/mark\n/home/alice',
      '/home/alice/mark\n/home/alice',
      '/home/alice',
    ])
  })
})

describe('-V, --verbose', () => {
  it('says what is done and how long it took, on stderr only', async () => {
    const [loud, quiet] = await runs([
      ['-V', 'busybox:test', 'echo', 'out'],
      ['busybox:test', 'echo', 'out'],
    ])
    expect(quiet).toEqual({ status: 0, stdout: 'out\n', stderr: '' })
    expect(loud).toMatchObject({ status: 0, stdout: 'out\n' })
    const steps = 'connected admit image cgroup mounts create attach start enter'
    for (const step of steps.split(' '))
      expect(loud!.stderr).toMatch(new RegExp(`^hepwrap: ${step} \\d+ ms$`, 'm'))
  })
})

describe('the command line', () => {
  it('takes --rm and --init, which always hold, and refuses their opposites', async () => {
    const [taken] = await runs([['--rm', '--init', 'busybox:test', 'true']])
    expect(taken!.status).toBe(0)
    for (const line of await refusals(['--rm=false', '--init=false']))
      expect(line).toContain('(HW_OPTION_FORBIDDEN)')
  })

  it('names an unknown option, with the nearest that there is, and a missing image', async () => {
    const [unknown, missing] = await runs([['--netwrok', 'none', 'busybox:test', 'true'], []])
    expect(unknown!.status).toBe(125)
    expect(complaint(unknown!)).toMatch(/--netwrok.*--network.*\(HW_OPTION_UNKNOWN\)$/)
    expect(missing!.status).toBe(125)
    expect(complaint(missing!)).toContain('(HW_USAGE)')
  })

  it("leaves the command's own options to the command", async () => {
    const [words, help] = await runs([
      ['busybox:test', 'echo', '-n', '--privileged', '-e', 'x', '--env-file', '/nowhere'],
      ['--', 'busybox:test', 'echo', '--help'],
    ])
    expect(words).toMatchObject({ status: 0, stdout: '--privileged -e x --env-file /nowhere' })
    expect(help!.stdout).toBe('--help\n')
  })
})

it('nothing of any of these stays in the engine', async () => {
  const { body } = await engine('GET', '/volumes')
  expect((body as { Volumes: unknown[] | null }).Volumes ?? []).toEqual([])
})
