// What an image says of itself: who it runs as, what it runs, where, with which volumes, ports, checks, labels. An image of
// an attacker's that says the worst of each gets what a plain one gets: same identity, same powers, same place.
import { existsSync, readFileSync, readlinkSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { docker, loadImage, removeImages } from '../attack/hostile-image.js'
import { startDaemon, stopDaemons } from '../world/daemon.js'
import { engine, leftovers, mounts, nothing, pathIn } from '../world/traces.js'
import { holdRun, type HeldRun } from './held-run.js'
import { complaint, hepwrapRun, recordNamed } from './job-runs.js'

const VOLUMES = ['/vol', '/etc/ssl', '/root', '/dev/shm', '/tmp']
const RUN_ID = 'f'.repeat(32)
const HOSTILE = {
  User: '0:0',
  Entrypoint: ['/bin/sh', '-c', 'touch /tmp/entrypoint; exec "$0" "$@"'],
  Cmd: ['/bin/sh', '-c', 'touch /tmp/command'],
  Env: ['PATH=/evil:/usr/bin:/bin', 'LD_PRELOAD=/evil.so', 'HOME=/root', 'A=of the image', 'B=b'],
  Volumes: Object.fromEntries(VOLUMES.map((path) => [path, {}])),
  StopSignal: 'SIGCONT',
  Healthcheck: { Test: ['CMD-SHELL', 'touch /vol/checked'], Interval: 1e9, Timeout: 1e9 },
  Labels: {
    'hepwrap.run': RUN_ID,
    'hepwrap.node': 'hepp/evil',
    'run.oci.keep_original_groups': '1',
    'io.kubernetes.cri-o.userns-mode': 'host',
  },
  OnBuild: ['USER root', 'RUN touch /built'],
  ExposedPorts: { '22/tcp': {}, '80/tcp': {} },
  WorkingDir: '/proc/self/fd/3',
  Shell: ['/evil'],
  Hostname: 'evil',
  Domainname: 'evil',
  Tty: true,
  OpenStdin: true,
  AttachStdin: true,
  NetworkDisabled: true,
  MacAddress: '02:42:ac:11:00:02',
  StopTimeout: 100_000,
  ArgsEscaped: true,
  HostConfig: { Privileged: true },
}

interface Held extends HeldRun {
  readonly id: string
  readonly inspected: Inspected
}
interface Inspected {
  readonly Config: Record<string, unknown> & { Labels: Record<string, string>; Env: string[] }
  readonly HostConfig: Record<string, unknown>
  readonly Mounts: readonly { Type: string; Destination: string; Name?: string }[]
}

const runs: Record<string, Held> = {}
let hostile: Held
let plain: Held
let volumes: string[]

async function hold(name: string, image: string): Promise<Held> {
  const options = ['--name', name, '-e', 'A=mine', '--entrypoint', 'cat', '--read-only']
  const before = ['srun', '-Q', '-p', 'shared']
  const run = await holdRun('alice', before, options, { image, command: [], timeoutMs: 120_000 })
  const { id } = await recordNamed(name)
  const { body } = await engine('GET', `/containers/hepwrap-${id}/json`)
  runs[name] = { ...run, id, inspected: body as Inspected }
  return runs[name]
}

beforeAll(async () => {
  await loadImage('hostile:test', { config: HOSTILE })
  await startDaemon({ config: { images: { allow: ['busybox:test', 'hostile:test'] } } })
  hostile = await hold('hostile', 'hostile:test')
  plain = await hold('plain', 'busybox:test')
  volumes = hostile.inspected.Mounts.flatMap(({ Name }) => Name ?? [])
})
afterAll(async () => {
  for (const run of Object.values(runs)) await run.release()
  expect(await leftovers()).toEqual(nothing)
  const left = (await docker('volume', 'ls', '-q')).split('\n')
  expect(left.filter((name) => volumes.includes(name))).toEqual([])
  await stopDaemons()
  await removeImages(['hostile:test'])
})

describe('for the engine', () => {
  it('it says what it says', async () => {
    const { body } = await engine('GET', '/images/hostile:test/json')
    const { Config } = body as { Config: object }
    const { User, Entrypoint, Volumes, Healthcheck, OnBuild, WorkingDir, StopSignal } = HOSTILE
    const said = { User, Entrypoint, Volumes, Healthcheck, OnBuild, WorkingDir, StopSignal }
    expect(Config).toMatchObject(said)
  })

  it('the container of it is made as a plain one, to the last field of HostConfig', () => {
    const withoutOwn = ({ inspected, id }: Held): unknown =>
      JSON.parse(
        JSON.stringify(inspected.HostConfig)
          .replaceAll(id, 'RUN')
          .replaceAll(/\.hepwrap-[0-9a-f]{32}/g, 'GATE'),
      )
    expect(withoutOwn(hostile)).toEqual(withoutOwn(plain))
  })

  it('of its own settings only notes are left', () => {
    const { Config } = hostile.inspected
    const differing = Object.keys({ ...Config, ...plain.inspected.Config }).filter(
      (key) => JSON.stringify(Config[key]) !== JSON.stringify(plain.inspected.Config[key]),
    )
    const own = ['Cmd', 'Entrypoint', 'Env', 'Image', 'Labels'] // ours, each of the one run, or added to
    const notes = ['ExposedPorts', 'Healthcheck', 'Volumes']
    expect(differing.filter((key) => ![...own, ...notes].includes(key))).toEqual([])
    expect(Config).toMatchObject({
      User: '2001:2001',
      WorkingDir: '/',
      StopSignal: 'SIGTERM',
      Healthcheck: { Test: ['NONE'] },
      OnBuild: null,
    })
    expect(Config['Cmd']).toEqual(['cat'])
    expect(Config['Entrypoint']).toEqual([expect.stringMatching(/^\/\.hepwrap-[0-9a-f]+\/init$/)])
    expect(Config.Env).toContain('A=mine')
    expect(Config.Env).not.toContain('A=of the image')
  })

  it('its labels of ours are not its own', () => {
    const { Labels } = hostile.inspected.Config
    expect(Labels['hepwrap.run']).toBe(hostile.id)
    expect(Labels['hepwrap.node']).toBe('hepp/n1')
  })

  it('its mounts are a plain one’s and its volumes, where nothing of ours is', () => {
    const targets = ({ inspected }: Held, type: string) =>
      inspected.Mounts.filter(({ Type }) => Type === type).map(({ Destination }) => Destination)
    const known = (path: string) => path.replace(/^\/\.hepwrap-[0-9a-f]+/, '')
    expect(targets(hostile, 'bind').map(known).sort()).toEqual(
      targets(plain, 'bind').map(known).sort(),
    )
    expect(targets(plain, 'volume')).toEqual([])
    expect(targets(hostile, 'volume').filter((path) => !VOLUMES.includes(path))).toEqual([])
  })
})

describe('on the node', () => {
  it('its processes are a plain one’s: identity, capabilities, seccomp, limits, namespaces', () => {
    const fields = ['Uid', 'Gid', 'Groups', 'CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']
    for (const field of [...fields, 'NoNewPrivs', 'Seccomp', 'Umask'])
      expect(hostile.status(field), field).toBe(plain.status(field))
    expect(hostile.status('Uid')).toBe('2001 2001 2001 2001')
    expect(hostile.status('CapBnd')).toBe('0000000000000000')
    const fileOf = ({ payloadPid }: Held, name: string) =>
      readFileSync(`/proc/${payloadPid}/${name}`, 'utf8')
    for (const name of ['limits', 'oom_score_adj', 'uid_map', 'gid_map'])
      expect(fileOf(hostile, name), name).toBe(fileOf(plain, name))
    const namespace = (pid: number | 'self', name: string) =>
      readlinkSync(`/proc/${pid}/ns/${name}`)
    for (const name of ['user', 'net', 'cgroup'])
      expect(namespace(hostile.payloadPid, name), name).toBe(namespace(plain.payloadPid, name))
    for (const name of ['pid', 'mnt', 'ipc', 'uts'])
      expect(namespace(hostile.payloadPid, name), name).not.toBe(namespace('self', name))
  })

  it('it sits in its job’s cgroup, in every hierarchy that Slurm limits', () => {
    const ownPlace = (run: Held) =>
      Object.fromEntries(
        Object.entries(run.cgroups).map(([name, path]) => [
          name,
          path
            .replace(run.id, 'RUN')
            .replace(/job_\d+/, 'JOB')
            .replace(/^\/docker\/[0-9a-f]{64}$/, 'ENGINE'),
        ]),
      )
    expect(ownPlace(hostile)).toEqual(ownPlace(plain))
    expect(pathIn(hostile.cgroups)).toContain(hostile.id)
  })

  it('its root is read-only, passwd is ours, and a volume brings neither device nor host directory', () => {
    const seen = mounts(hostile.payloadPid)
    const at = (path: string) => seen.findLast(({ mountPoint }) => mountPoint === path)
    expect(at('/')?.options).toContain('ro')
    expect(at('/etc/passwd')?.options).toContain('ro')
    expect(readFileSync(`/proc/${hostile.payloadPid}/root/etc/passwd`, 'utf8')).toMatch(/^alice:/m)
    const extra = seen.filter(
      ({ mountPoint }) => !mounts(plain.payloadPid).some((one) => one.mountPoint === mountPoint),
    )
    const fromElsewhere = extra.filter(
      ({ mountPoint, root }) =>
        !mountPoint.startsWith('/.hepwrap') && !/\/volumes\/[0-9a-f]{64}\/_data$/.test(root),
    )
    expect(fromElsewhere).toEqual([])
  })

  it('its directory of work, its entrypoint and its check are not used', async () => {
    expect(readlinkSync(`/proc/${hostile.payloadPid}/cwd`)).not.toMatch(/proc|fd/)
    const inside = (path: string) => existsSync(`/proc/${hostile.payloadPid}/root${path}`)
    const { body } = await engine('GET', `/containers/hepwrap-${hostile.id}/json`)
    const { State } = body as { State: { Health?: unknown } }
    expect(State.Health).toBeUndefined()
    for (const path of ['/tmp/entrypoint', '/tmp/command', '/vol/checked', '/built'])
      expect(inside(path), path).toBe(false)
  })
})

it('its own command runs as the user', async () => {
  const args = ['-w', '/', 'hostile:test', 'sh', '-c', 'id -u; pwd; ls /tmp']
  const run = await hepwrapRun('alice', args, { slurm: ['-p', 'shared'] })
  expect(run).toMatchObject({ status: 0, stdout: '2001\n/\nentrypoint\n' })
})

it('its directory of work is entered as the user, and where that cannot be, nothing runs', async () => {
  const options = { slurm: ['-p', 'shared'], cwd: '/usr' }
  const run = await hepwrapRun('alice', ['hostile:test', 'pwd'], options)
  expect(run).toMatchObject({ status: 126, stdout: '' })
  expect(complaint(run)).toContain('"/proc/self/fd/3"')
  expect(complaint(run)).toContain('(HW_WORKDIR)')
})
