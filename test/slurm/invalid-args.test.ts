// Bad command lines: one clear line with a reason code, status 125, a record where one can be written, nothing left.
import { writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { UsageRecord } from '../../src/wire/usage-api.js'
import { type Daemon, startDaemon, stopDaemons } from '../world/daemon.js'
import { leftovers, nothing } from '../world/traces.js'
import { as, expectSuccess } from '../world/world.js'

let daemon: Daemon
beforeAll(async () => {
  daemon = await startDaemon()
})
afterAll(async () => {
  expect(await leftovers()).toEqual(nothing)
  await stopDaemons()
  expect(daemon.logText()).not.toContain('"level":50')
})

interface Tried {
  status: number
  stdout: string
  stderr: string
}

/** Runs each command line in one job step, one after another. */
async function tryAll(lines: readonly string[]): Promise<Tried[]> {
  const mark = '@@@@'
  const script = lines
    .map((line, index) => `${line} >out-${index} 2>err-${index}; echo "$?"`)
    .join('\n')
  const show = `for i in $(seq 0 ${lines.length - 1}); do cat out-$i; echo ${mark}; cat err-$i; echo ${mark}; done`
  const whole = `cd "$(mktemp -d)"; ${script}\n${show}`
  const run = await as('alice').srun(['-Q', 'bash'], { input: whole, timeoutMs: 55_000 })
  const { stdout } = expectSuccess(run)
  const rows = stdout.split('\n')
  const texts = rows.slice(lines.length).join('\n').split(`${mark}\n`)
  return lines.map((_, index) => ({
    status: Number(rows[index]),
    stdout: texts[2 * index]!,
    stderr: texts[2 * index + 1]!,
  }))
}

const aliceRecords = async (): Promise<UsageRecord[]> => {
  const argv = ['hepwrap', 'acct', '--format', 'json']
  return JSON.parse(expectSuccess(await as('alice').run(argv)).stdout) as UsageRecord[]
}

/** One line, of ours, with the code at its end, and nothing on stdout. */
function expectOneLine({ status, stdout, stderr }: Tried, code: string, quoted: string): void {
  expect({ status, stdout }).toEqual({ status: 125, stdout: '' })
  expect(stderr).toMatch(new RegExp(`^hepwrap: [^\\n]+ \\(${code}(, run [0-9a-f]+)?\\)\\n$`))
  expect(stderr).toContain(quoted)
}

describe('ACCEPTANCE 10: options that docker has and hepwrap never allows', () => {
  // Each as a user would type it, and the spelling in which it is refused.
  const forbidden: [string, string][] = [
    ['--privileged', '--privileged'],
    ['--user 0', '--user=0'],
    ['-u root', '--user=root'],
    ['--user=0:0', '--user=0:0'],
    ['--cap-add SYS_ADMIN', '--cap-add=SYS_ADMIN'],
    ['--cap-add=ALL', '--cap-add=ALL'],
    ['--cap-drop NONE', '--cap-drop=NONE'],
    ['--cgroup-parent /', '--cgroup-parent=/'],
    ['--cgroupns private', '--cgroupns=private'],
    ['--security-opt seccomp=unconfined', '--security-opt=seccomp=unconfined'],
    ['--userns host', '--userns=host'],
    ['--pid host', '--pid=host'],
    ['--ipc host', '--ipc=host'],
    ['--uts host', '--uts=host'],
    ['--device /dev/kmsg', '--device=/dev/kmsg'],
    ['--device-cgroup-rule "a *:* rwm"', '--device-cgroup-rule=a *:* rwm'],
    ['--gpus all', '--gpus=all'],
    ['--network container:other', '--network=container:other'],
    ['--net bridge', '--network=bridge'],
    ['--group-add 0', '--group-add=0'],
    ['--add-host a:127.0.0.1', '--add-host=a:127.0.0.1'],
    ['--runtime runc', '--runtime=runc'],
    ['--sysctl kernel.msgmax=1', '--sysctl=kernel.msgmax=1'],
    ['--oom-kill-disable', '--oom-kill-disable'],
    ['--oom-score-adj -1000', '--oom-score-adj=-1000'],
    ['--cpuset-cpus 0-63', '--cpuset-cpus=0-63'],
    ['--cpu-shares 99999', '--cpu-shares=99999'],
    ['--cpu-rt-runtime 1', '--cpu-rt-runtime=1'],
    ['--memory-swap -1', '--memory-swap=-1'],
    ['--pids-limit -1', '--pids-limit=-1'],
    ['--blkio-weight 1000', '--blkio-weight=1000'],
    ['--restart always', '--restart=always'],
    ['-d', '--detach'],
    ['-p 80:80', '--publish=80:80'],
    ['-P', '--publish-all'],
    ['--volumes-from other', '--volumes-from=other'],
    ['--volume-driver local', '--volume-driver=local'],
    ['--log-driver syslog', '--log-driver=syslog'],
    ['--health-cmd id', '--health-cmd=id'],
    ['--cidfile /home/alice/cid', '--cidfile=/home/alice/cid'],
    ['--hostname n1', '--hostname=n1'],
    ['--link other', '--link=other'],
    ['--platform linux/s390x', '--platform=linux/s390x'],
    ['--storage-opt size=1', '--storage-opt=size=1'],
    ['--rm=false', '--rm=false'],
    ['--init=false', '--init=false'],
  ]
  let tried: Tried[]
  let records: UsageRecord[]

  beforeAll(async () => {
    const before = (await aliceRecords()).length
    tried = await tryAll(forbidden.map(([line]) => `hepwrap run ${line} busybox:test true`))
    records = (await aliceRecords()).slice(before)
  })

  it.each(forbidden.map(([line, spelt], index) => ({ line, spelt, index })))(
    '$line is refused by name, and the refusal recorded',
    ({ spelt, index }) => {
      expectOneLine(tried[index]!, 'HW_OPTION_FORBIDDEN', `"${spelt}"`)
      expect(records[index]).toMatchObject({
        state: 'REFUSED',
        reason: 'HW_OPTION_FORBIDDEN',
        exit_code: 125,
        user: 'alice',
        step_id: '0',
        image: 'busybox:test',
        command: 'true',
        started_at: null,
      })
    },
  )

  it('leaves one record for each', () => expect(records).toHaveLength(forbidden.length))
})

describe("ACCEPTANCE 10: mounts of what makes a user the node's master", () => {
  const sources = [
    ['/run/docker.sock', 'HW_MOUNT_(REFUSED|SOURCE)'],
    ['/var/run/docker.sock', 'HW_MOUNT_(REFUSED|SOURCE)'],
    ['/run/hepwrap/hepwrapd.sock', 'HW_MOUNT_REFUSED'],
    ['/run/hepwrap', 'HW_MOUNT_REFUSED'],
    ['/run', 'HW_MOUNT_REFUSED'],
    ['/var/lib/docker', 'HW_MOUNT_(REFUSED|SOURCE)'],
    ['/', 'HW_MOUNT_REFUSED'],
    ['/proc', 'HW_MOUNT_REFUSED'],
    ['/sys', 'HW_MOUNT_REFUSED'],
    ['/dev', 'HW_MOUNT_REFUSED'],
  ] as const
  let tried: Tried[]
  beforeAll(async () => {
    tried = await tryAll(sources.map(([path]) => `hepwrap run -v ${path}:/x busybox:test ls /x`))
  })

  it.each(sources.map(([path, code], index) => ({ path, code, index })))(
    '-v $path:… is refused',
    ({ path, code, index }) => expectOneLine(tried[index]!, code, path),
  )
})

describe('bad command lines', () => {
  // Refused by the client, which has nothing to send yet, or by the daemon, which keeps a record.
  const bad: [string, string, string][] = [
    ['hepwrap run', 'HW_USAGE', 'image'],
    ['hepwrap run -i', 'HW_USAGE', 'image'],
    ['hepwrap run --no-such-option busybox:test', 'HW_OPTION_UNKNOWN', '--no-such-option'],
    ['hepwrap run --volum /a:/b busybox:test', 'HW_OPTION_UNKNOWN', '"--volume"'],
    ['hepwrap run -Z busybox:test', 'HW_OPTION_UNKNOWN', '-Z'],
    ['hepwrap run -v', 'HW_USAGE', '-v'],
    ['hepwrap run -v /a busybox:test', 'HW_OPTION_INVALID', '/a'],
    ['hepwrap run -v /a:/b:rw:x busybox:test', 'HW_OPTION_INVALID', '/a:/b:rw:x'],
    ['hepwrap run -v /a:/b:z busybox:test', 'HW_OPTION_INVALID', '"z"'],
    ['hepwrap run -v :/b busybox:test', 'HW_OPTION_INVALID', ':/b'],
    ['hepwrap run -v /tmp: busybox:test', 'HW_MOUNT_TARGET', '""'],
    ['hepwrap run -v /tmp:b busybox:test', 'HW_MOUNT_TARGET', '"b"'],
    ['hepwrap run -v name:/b busybox:test', 'HW_MOUNT_SOURCE', 'name'],
    ['hepwrap run -v /tmp:/x -v /srv:/x busybox:test', 'HW_MOUNT_TARGET', '/x'],
    ['hepwrap run -v /tmp:/ busybox:test', 'HW_MOUNT_TARGET', '"/"'],
    ['hepwrap run -v /tmp:/proc busybox:test', 'HW_MOUNT_TARGET', '/proc'],
    ['hepwrap run -v /tmp:/x/../proc/x busybox:test', 'HW_MOUNT_TARGET', '/proc'],
    ['hepwrap run -v /no/such/path:/x busybox:test', 'HW_MOUNT_SOURCE', 'no such file'],
    ['hepwrap run -v /root/secret:/x busybox:test', 'HW_MOUNT_SOURCE', 'permission denied'],
    ['hepwrap run -v /home/bob/.bashrc:/x busybox:test', 'HW_MOUNT_SOURCE', 'permission denied'],
    ['hepwrap run --mount type=volume,target=/x busybox:test', 'HW_OPTION_INVALID', 'type'],
    ['hepwrap run --mount nonsense busybox:test', 'HW_OPTION_INVALID', 'nonsense'],
    ['hepwrap run --tmpfs /t:size=x busybox:test', 'HW_OPTION_INVALID', 'x'],
    ['hepwrap run -w relative busybox:test', 'HW_OPTION_INVALID', 'relative'],
    ['hepwrap run --name "a b" busybox:test', 'HW_OPTION_INVALID', 'a b'],
    ['hepwrap run --label hepwrap.run=1 busybox:test', 'HW_OPTION_INVALID', 'hepwrap.run'],
    ['hepwrap run -m lots busybox:test', 'HW_OPTION_INVALID', 'lots'],
    ['hepwrap run -m 1 busybox:test', 'HW_OPTION_INVALID', '1'],
    ['hepwrap run --cpus 0 busybox:test', 'HW_OPTION_INVALID', '0'],
    ['hepwrap run --cpus NaN busybox:test', 'HW_OPTION_INVALID', 'NaN'],
    ['hepwrap run --ulimit nofile=9:3 busybox:test', 'HW_OPTION_INVALID', 'nofile'],
    ['hepwrap run --ulimit nonsense=3 busybox:test', 'HW_OPTION_INVALID', 'nonsense'],
    ['hepwrap run --pull sometimes busybox:test', 'HW_OPTION_INVALID', 'sometimes'],
    ['hepwrap run --pull always busybox:test', 'HW_PULL_REFUSED', 'always'],
    ['hepwrap run --stop-timeout never busybox:test', 'HW_OPTION_INVALID', 'never'],
    ['hepwrap run -e =x busybox:test', 'HW_OPTION_INVALID', '=x'],
    ['hepwrap run -e "" busybox:test', 'HW_OPTION_INVALID', ''],
    ['hepwrap run --env-file /no/such busybox:test', 'HW_OPTION_INVALID', '/no/such'],
    ['hepwrap run --env-file /dev/zero busybox:test', 'HW_ENV_TOO_LARGE', '/dev/zero'],
    ['hepwrap run "" true', 'HW_IMAGE_INVALID', '""'],
    ['hepwrap run UPPER:case true', 'HW_IMAGE_INVALID', 'UPPER'],
    ['hepwrap run ../../etc true', 'HW_IMAGE_INVALID', '../../etc'],
    ['hepwrap run -- -x true', 'HW_IMAGE_INVALID', '-x'],
    ['hepwrap run nobody/allowed:this true', 'HW_IMAGE_REFUSED', 'nobody/allowed:this'],
    ['hepwrap run --entrypoint "" busybox:test', 'HW_COMMAND_MISSING', 'busybox:test'],
  ]
  let tried: Tried[]
  beforeAll(async () => {
    tried = await tryAll(bad.map(([line]) => line))
  })

  it.each(bad.map(([line, code, quoted], index) => ({ line, code, quoted, index })))(
    '$line: $code',
    ({ code, quoted, index }) => {
      expectOneLine(tried[index]!, code, quoted)
    },
  )

  it('a name that holds control characters reaches no terminal as it is', async () => {
    const [tried] = await tryAll([`hepwrap run busybox:test $'red\\e[31m\\nhepwrap: forged line'`])
    expect(tried).toMatchObject({ status: 127, stdout: '' })
    expect(tried!.stderr).toBe(
      'hepwrap: command "red\\u001b[31m\\nhepwrap: forged line" is not in the image (HW_COMMAND_NOT_FOUND)\n',
    )
  })

  it('all that the daemon refused is recorded as REFUSED', async () => {
    const reasons = (await aliceRecords()).map(({ reason }) => reason)
    for (const code of ['HW_PULL_REFUSED', 'HW_IMAGE_REFUSED', 'HW_IMAGE_INVALID'])
      expect(reasons).toContain(code)
  })
})

describe('large input', () => {
  it('10 MB of environment is refused in one line and recorded, and leaves the daemon as it was', async () => {
    const line = (index: number) => `V${index}=${'x'.repeat(1000)}\n`
    const text = Array.from({ length: 10_000 }, (_, index) => line(index)).join('')
    writeFileSync('/scratch/large-env', text)
    const before = (await aliceRecords()).length
    const tried = await tryAll([
      'hepwrap run --env-file /scratch/large-env busybox:test true',
      'head -n 1100 /scratch/large-env >less; hepwrap run --env-file less busybox:test true',
      `printf 'V=%0200000d\\n' 0 >long; hepwrap run --env-file long busybox:test true`,
      'head -n 900 /scratch/large-env >fits; hepwrap run --env-file fits busybox:test env',
      'hepwrap run busybox:test echo $(seq 100000)',
      'hepwrap run busybox:test sh -c "echo \\$#" x $(seq 60000)',
    ])
    expectOneLine(tried[0]!, 'HW_(REQUEST|ENV)_TOO_LARGE', '')
    expectOneLine(tried[1]!, 'HW_ENV_TOO_LARGE', 'the environment')
    expectOneLine(tried[2]!, 'HW_ENV_TOO_LARGE', '"V"')
    expect(tried[3]).toMatchObject({ status: 0, stderr: '' })
    expect(tried[3]!.stdout.match(/^V\d+=x{1000}$/gm)).toHaveLength(900)
    expect(tried[4]).toMatchObject({ status: 125, stdout: '' })
    expect(tried[5]).toMatchObject({ status: 0, stdout: '60000\n' })
    const records = (await aliceRecords()).slice(before)
    expect(records.slice(0, 3).map(({ state }) => state)).toEqual(['REFUSED', 'REFUSED', 'REFUSED'])
    expect(await leftovers()).toEqual(nothing)
  })
})
