// What an image says of itself, against what a run of it shall be: its user, environment, volumes, labels, signals, names.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect } from 'vitest'
import { type Daemon, startDaemon } from '../world/daemon.js'
import { eventually } from '../world/eventually.js'
import { as, expectSuccess } from '../world/world.js'
import { attack } from './attack.js'
import { docker, loadImage } from './hostile-image.js'
import {
  endDaemon,
  holdHostile,
  inspectOnlyRun,
  mountAt,
  outcomes,
  volumes,
} from './hostile-run.js'

let daemon: Daemon
beforeAll(async () => {
  const images = { allow: ['*:test'] }
  daemon = await startDaemon({ config: { images, node: { stop_timeout_s: 2 } } })
})
afterAll(() => endDaemon(daemon))

const environmentOf = (pid: number) => readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
const lastRow = () => daemon.ledgerRows().at(-1)!

attack('E30', 'own', "the image's USER is nobody: root, 0:0, a name without end", async () => {
  for (const [index, User] of ['root', '0:0', '0', 'x'.repeat(70_000)].entries()) {
    const run = await holdHostile(`user${index}:test`, { config: { User } })
    expect((await inspectOnlyRun()).Config.User).toBe('2001:2001')
    await run.release()
  }
})

attack(
  'E31',
  'own',
  "an image's environment forges neither the job nor HOME, nor loads into our init",
  async () => {
    const forged = [
      'SLURM_JOB_ID=999999',
      'SLURM_JOB_UID=0',
      'SLURM_STEP_ID=99',
      'USER=root',
      'HOME=/root',
    ]
    const loader = [
      'LD_PRELOAD=/evil.so',
      'LD_LIBRARY_PATH=/evil',
      'GCONV_PATH=/evil',
      'LD_AUDIT=/evil.so',
    ]
    const Env = ['PATH=/bin', ...forged, ...loader, '_LIBCONTAINER_INITPIPE=0', 'GODEBUG=x']
    const run = await holdHostile('env:test', {
      config: { Env },
      entries: [
        { path: 'evil.so', body: 'no library' },
        { path: 'etc/ld.so.preload', body: '/evil.so\n' },
      ],
    })
    const environment = environmentOf(run.payloadPid)
    for (const entry of forged) expect(environment).not.toContain(entry)
    const job = /job_(\d+)/.exec(run.cgroups['memory']!)![1]!
    expect(environment).toEqual(expect.arrayContaining([`SLURM_JOB_ID=${job}`, 'HOME=/home/alice']))
    expect(lastRow()).toMatchObject({ job_id: Number(job), user: 'alice', uid: 2001 })
    expect(readFileSync(`/proc/${run.initPid}/maps`, 'utf8')).not.toMatch(/evil|\.so/)
    await run.release()
  },
)

attack(
  'E32',
  'own',
  'an environment larger than the kernel takes, or malformed, starts nothing',
  async () => {
    const large = Array.from({ length: 4000 }, (_, index) => `V${index}=${'x'.repeat(1000)}`)
    const environments = [
      large,
      [`V=${'x'.repeat(200_000)}`],
      ['=\u001b]0;x\u0007'],
      ['A=\0b'],
      ['\nA=b'],
    ]
    for (const [index, Env] of environments.entries())
      await loadImage(`env${index}:test`, { config: { Env: ['PATH=/bin', ...Env] } })
    const runs = environments.map((_, index) => [`env${index}:test`, 'touch', 'started'])
    const ended = await outcomes(daemon, runs.slice(0, 4))
    expect(new Set(ended)).toEqual(new Set(['125 HW_ENGINE_FAILED']))
    expect(existsSync('/home/alice/started')).toBe(false)
    expect(await outcomes(daemon, [['env4:test', 'env']])).toEqual(['0 null']) // a name of his own
  },
)

attack(
  'E33',
  'CVE-2022-23648',
  "VOLUMEs are the engine's own, hide nothing of ours, and go with the run",
  async () => {
    writeFileSync('/home/alice/mark', 'of the node\n')
    const places = ['/opt', '/data', '/.hepwrap', '/home/alice', '/sys', '/a:/etc', 'rel/../../x']
    const Volumes = Object.fromEntries(places.map((path) => [path, {}]))
    const run = await holdHostile('volumes:test', { config: { Volumes } })
    expect((await volumes()).length).toBeGreaterThan(3)
    expect(mountAt(run.payloadPid, '/home/alice')?.root).toBe('/home/alice')
    expect(readFileSync(`/proc/${run.payloadPid}/root/home/alice/mark`, 'utf8')).toBe(
      'of the node\n',
    )
    expect(mountAt(run.payloadPid, '/sys')?.type).not.toBe('sysfs') // an empty directory in its place
    await run.release()
    expect(await volumes()).toEqual([])
    // A run that is killed, or that never starts, takes its volumes along, too.
    const killed = await holdHostile('volumes:test', { config: { Volumes } })
    killed.kill('SIGKILL')
    await eventually(async () => (await volumes()).length === 0)
    await killed.result
  },
)

attack('E34', 'own', 'STOPSIGNAL does not choose how a run is ended', async () => {
  for (const [index, StopSignal] of ['SIGKILL', '0', 'GARBAGE', 'SIGRTMAX+99'].entries()) {
    const options = ['--name', `stopped${index}`]
    const script = `trap 'echo >/home/alice/asked${index}; exit 7' TERM; sleep 60 & wait`
    const run = await holdHostile(`stop${index}:test`, { config: { StopSignal } }, options, {
      command: ['sh', '-c', script],
    })
    expect((await inspectOnlyRun()).Config.StopSignal).toBe('SIGTERM')
    expectSuccess(await as('alice').run(['hepwrap', 'stop', `stopped${index}`]))
    await run.result
    expect(existsSync(`/home/alice/asked${index}`)).toBe(true)
    expect(lastRow()).toMatchObject({ exit_code: 7 })
  }
})

attack('E35', 'own', 'HEALTHCHECK and ONBUILD execute nothing', async () => {
  const since = String(Math.floor(Date.now() / 1000))
  const run = await holdHostile('health:test', {
    config: {
      Healthcheck: {
        Test: ['CMD-SHELL', 'touch /home/alice/health'],
        Interval: 1_000_000,
        Retries: 1,
      },
      OnBuild: ['RUN touch /home/alice/onbuild'],
    },
  })
  const { Config, State } = await inspectOnlyRun()
  expect([Config.Healthcheck?.Test, State.Health]).toEqual([['NONE'], undefined])
  await run.release()
  const events = ['events', '--since', since, '--until', '0s', '--filter', 'type=container']
  expect(await docker(...events)).not.toMatch(/exec_create|health_status/)
  for (const name of ['health', 'onbuild']) expect(existsSync(`/home/alice/${name}`)).toBe(false)
})
