// What the engine and its runtime mount: places that an image or a user exchanges for links, devices that are none, storage.
// Docker 20.10.24 and runc 1.1.5 have some of these holes still; a title says so.
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect } from 'vitest'
import { hepwrapRun, hepwrapRuns } from '../slurm/job-runs.js'
import { type Daemon, startDaemon } from '../world/daemon.js'
import { as, expectSuccess } from '../world/world.js'
import { attack } from './attack.js'
import { compileAttempts, PROGRAM } from './attempts.js'
import { docker, loadImage } from './hostile-image.js'
import {
  endDaemon,
  holdHostile,
  inspectOnlyRun,
  mountAt,
  nodeMounts,
  outcomes,
  volumes,
} from './hostile-run.js'

const ground = '/scratch/attack'
let daemon: Daemon
beforeAll(async () => {
  compileAttempts()
  daemon = await startDaemon({
    config: { images: { allow: ['*:test'] }, mounts: { always: [`${ground}/site:/cvmfs:ro?`] } },
  })
})
afterAll(() => endDaemon(daemon))

const kernelHooks = () =>
  ['core_pattern', 'hostname', 'randomize_va_space'].map((name) =>
    readFileSync(`/proc/sys/kernel/${name}`, 'utf8'),
  )

attack(
  'E07',
  'CVE-2025-31133',
  'runc 1.1.5 trusts /dev/null: an image has no say in it, and nothing is mounted there',
  async () => {
    const before = kernelHooks()
    const link = (path: string) =>
      ({ path, type: 'symlink', to: '/proc/sys/kernel/core_pattern' }) as const
    const run = await holdHostile('null:test', {
      entries: ['dev/null', 'dev/zero', 'dev/ptmx', 'dev/pts', 'dev/shm', 'dev/mqueue'].map(link),
    })
    expect(mountAt(run.payloadPid, '/dev')?.type).toBe('tmpfs')
    const nullDevice = statSync('/dev/null').rdev
    for (const path of ['dev/null', 'proc/keys', 'proc/timer_list'])
      expect(statSync(`/proc/${run.payloadPid}/root/${path}`).rdev, path).toBe(nullDevice)
    await run.release()
    // The race of this CVE needs a /dev that two containers share.
    const targets = ['/dev', '/dev/null', '/dev/shm', '/dev/pts/../null']
    const binds = targets.map((target) => ['-v', `${ground}:${target}`, 'null:test', 'true'])
    const tmpfs = targets.map((target) => ['--tmpfs', target, 'null:test', 'true'])
    const ended = await outcomes(daemon, [...binds, ...tmpfs])
    expect(new Set(ended)).toEqual(new Set(['125 HW_MOUNT_TARGET']))
    expect(kernelHooks()).toEqual(before)
  },
)

attack(
  'E08',
  'CVE-2025-52565',
  'runc 1.1.5 binds a terminal to /dev/console: it is one',
  async () => {
    const before = kernelHooks()
    await loadImage('console:test', {
      entries: ['dev/console', 'dev/pts/0', 'dev/pts'].map((path) => ({
        path,
        type: 'symlink',
        to: '/proc/sys/kernel/hostname',
      })),
    })
    const script = 'echo owned >/dev/console; grep console /proc/self/mountinfo'
    const result = await hepwrapRun('alice', ['-t', 'console:test', 'sh', '-c', script], {
      slurm: ['-p', 'shared'],
    })
    expect(result.stdout).toMatch(/owned\r?\n/)
    expect(result.stdout).toMatch(/ \/dev\/console .* - devpts /)
    expect(kernelHooks()).toEqual(before)
  },
)

attack(
  'E09',
  'CVE-2025-52881, CVE-2019-16884',
  'nothing is mounted over /proc: by a user, or by a VOLUME',
  async () => {
    const targets = [
      '/proc',
      '/proc/self/attr',
      '/proc/sys',
      '/proc/1',
      '/x/../proc/self',
      '/sys/fs',
    ]
    const refused = targets.flatMap((target) => [
      ['--tmpfs', target, 'busybox:test', 'true'],
      ['-v', `${ground}:${target}`, 'busybox:test', 'true'],
    ])
    expect(new Set(await outcomes(daemon, refused))).toEqual(new Set(['125 HW_MOUNT_TARGET']))
    const places = ['/proc', '/proc/self/attr', '/proc/sys']
    for (const [index, place] of places.entries())
      await loadImage(`volume${index}:test`, { config: { Volumes: { [place]: {} } } })
    const ended = await outcomes(
      daemon,
      places.map((_, index) => [`volume${index}:test`, 'true']),
    )
    expect(new Set(ended)).toEqual(new Set(['125 HW_ENGINE_FAILED']))
    expect(await volumes()).toEqual([])
  },
)

attack(
  'E10',
  'CVE-2019-19921, CVE-2023-28642',
  'an image whose /proc is a link has the real one, masked',
  async () => {
    const run = await holdHostile('proclink:test', {
      entries: ['proc', 'sys', 'dev'].map((path) => ({ path, type: 'symlink', to: '/home/alice' })),
    })
    expect(mountAt(run.payloadPid, '/proc')?.type).toBe('proc')
    expect(mountAt(run.payloadPid, '/proc/sys')?.options).toContain('ro')
    expect(mountAt(run.payloadPid, '/proc/keys')?.root).toBe('/null')
    expect(mountAt(run.payloadPid, '/sys')?.options).toContain('ro')
    expect(existsSync('/home/alice/self')).toBe(false)
    await run.release()
  },
)

attack(
  'E11',
  'like CVE-2024-0132',
  "a link of the image does not lead the site's mount onto the node",
  async () => {
    mkdirSync(`${ground}/site`, { recursive: true })
    writeFileSync(`${ground}/site/release`, '1\n')
    const before = nodeMounts()
    const links = [
      '../../../../../../scratch/attack/led',
      '/../../proc/1/root/scratch/attack/led',
      '/tmp/led',
    ]
    for (const [index, to] of links.entries()) {
      const entries = [{ path: 'cvmfs', type: 'symlink', to }] as const
      const run = await holdHostile(`led${index}:test`, { entries })
      expect(nodeMounts()).toEqual(before)
      await run.release()
    }
    expect(existsSync(`${ground}/led`)).toBe(false)
  },
)

attack(
  'E12',
  'CVE-2021-41091',
  "the engine's storage is closed: no set-user-ID program of a running image",
  async () => {
    const body = readFileSync(PROGRAM)
    const run = await holdHostile('storage:test', {
      entries: [{ path: 'root-shell', mode: 0o4755, body }],
    })
    const { MergedDir: merged } = (await inspectOnlyRun()).GraphDriver.Data
    expect(statSync(`${merged!}/root-shell`).mode & 0o4000).toBe(0o4000)
    // From her shell in the job, on the node: there no_new_privs is not set.
    const script = `${merged!}/root-shell setuid=0; ls ${merged!} /var/lib/docker`
    const { stdout, stderr } = await as('alice').srun(['-Q', '-p', 'shared', 'sh', '-c', script])
    expect(stdout).toBe('')
    expect(stderr).toMatch(/Permission denied/)
    await run.release()
  },
)

attack(
  'E13',
  'CVE-2021-30465',
  'a mount target exchanged for a link while runc looks leads nowhere',
  async () => {
    const share = `${ground}/share`
    const setUp = `mkdir -p ${share}/real ${share}/source && touch ${share}/source/mine`
    expectSuccess(await as('root').run(['sh', '-c', `${setUp} && chown -R alice: ${share}`]))
    const before = nodeMounts()
    const swap = `cd ${share}; while :; do mv -T real kept; ln -s / real; rm real; mv -T kept real; done`
    const swapping = as('alice').start(['sh', '-c', swap], { timeoutMs: 60_000 })
    const look = 'ls -d /share/real/* | head -20'
    const volumesOf = ['-v', `${share}:/share`, '-v', `${share}/source:/share/real`]
    const runs = Array.from({ length: 12 }, () => [...volumesOf, 'busybox:test', 'sh', '-c', look])
    const results = await hepwrapRuns('alice', runs, { slurm: ['-p', 'shared'] })
    swapping.kill('SIGKILL')
    await swapping.result
    for (const { stdout } of results) expect(stdout).not.toContain('/scratch') // the node has it, the image has not
    expect(nodeMounts()).toEqual(before)
  },
)

attack(
  'E14',
  'own',
  'an image that the engine cannot unpack or start leaves nothing of it',
  async () => {
    await loadImage('broken:test', { config: { Volumes: { '/': {} } } })
    await loadImage('device:test', { config: { Volumes: { '/dev': {} } } })
    const ended = await outcomes(daemon, [
      ['broken:test', 'true'],
      ['device:test', 'true'],
    ])
    expect(ended).toEqual(['125 HW_IMAGE_REFUSED', '125 HW_ENGINE_FAILED']) // a VOLUME over passwd
    expect(await volumes()).toEqual([])
    expect(await docker('ps', '--all', '--quiet')).toBe('')
  },
)
