// The contract of `Engine` with a real Docker Engine: containers. What security depends on is asked of the kernel, from inside.
import { once } from 'node:events'
import { readlinkSync } from 'node:fs'
import type { Duplex } from 'node:stream'
import { afterEach, describe, expect, it } from 'vitest'
import { newRunId, type ContainerId } from '../../../src/base/ids.js'
import { createDockerEngine } from '../../../src/engine/docker-engine.js'
import type { ContainerSpec } from '../../../src/engine/engine.js'
import { parseImageRef } from '../../../src/plan/image-ref.js'
import { createFrameReader } from '../../../src/wire/frames.js'
import { eventually } from '../../world/eventually.js'
import { buildImage, engineCommand, type TestEngine } from '../../world/engine.js'
import { service } from '../../world/world.js'

const NODE = 'hepp/contract'
export function containerContract({
  name: engineName,
  socketPath,
  service: engineService,
}: TestEngine): void {
  const engine = createDockerEngine({ socketPath, node: NODE, runDir: '/run' })
  const busybox = parseImageRef('busybox:test')

  const made: string[] = []
  afterEach(async () => {
    for (const id of made.splice(0)) await engine.remove(id)
  })

  async function makeSpec(
    script: string,
    fields: Partial<ContainerSpec> = {},
  ): Promise<ContainerSpec> {
    const image = await engine.findImage(busybox)
    const runId = newRunId()
    return {
      name: `hepwrap-${runId}`,
      imageId: image?.id ?? '',
      argv: ['/bin/sh', '-c', script],
      env: {},
      labels: { 'hepwrap.run': runId, 'hepwrap.node': NODE },
      uid: 2001,
      gid: 3000,
      groups: [3000, 4000],
      tty: false,
      interactive: false,
      network: 'host',
      readOnlyRootfs: false,
      devices: [],
      shmSizeBytes: undefined,
      ulimits: [],
      mounts: [],
      runtime: '',
      ...fields,
    }
  }

  async function create(spec: ContainerSpec): Promise<ContainerId> {
    const id = await engine.create(spec)
    made.push(id)
    return id
  }

  /** Collects an attach stream; frames are taken apart, a terminal's bytes are all output. */
  function collect(stream: Duplex, isTty = false) {
    const output = { 1: '', 2: '' }
    const read = createFrameReader({
      onPiece: (type, piece) => {
        if (type === 1 || type === 2) output[type] += piece.toString('latin1')
      },
    })
    stream.on('data', (chunk: Buffer) => {
      if (isTty) output[1] += chunk.toString()
      else read(chunk)
    })
    return { stdout: () => output[1], stderr: () => output[2], ended: once(stream, 'end') }
  }

  /** From create to the last byte. */
  async function runOnce(script: string, fields: Partial<ContainerSpec> = {}, input?: string) {
    const id = await create(await makeSpec(script, fields))
    const stream = await engine.attach(id, fields.interactive ?? false)
    const { stdout, stderr, ended } = collect(stream, fields.tty)
    await engine.start(id)
    if (input !== undefined) stream.end(input)
    const status = await engine.wait(id)
    await ended
    return { status, stdout: stdout(), stderr: stderr() }
  }

  describe('a container', () => {
    it('runs from create to remove: streams apart, status, and nothing left', async () => {
      const spec = await makeSpec('echo out; echo err >&2; exit 37')
      const id = await create(spec)
      expect(id).toMatch(/^[0-9a-f]{64}$/)
      const { stdout, stderr, ended } = collect(await engine.attach(id, false))
      await engine.start(id)
      expect(await engine.wait(id)).toBe(37)
      await ended
      expect([stdout(), stderr()]).toEqual(['out\n', 'err\n'])
      await engine.remove(id)
      await engine.remove(id) // absent is success
      await engine.remove(spec.name)
      expect(await engineCommand('ps', '-aq', '--filter', `name=${spec.name}`)).toBe('')
    })

    it('is removed by its name while it runs, with its anonymous volumes', async () => {
      const spec = await makeSpec('sleep 60')
      await engine.start(await create(spec))
      await engine.remove(spec.name)
      expect(await engineCommand('ps', '-aq')).toBe('')
      expect(await engineCommand('volume', 'ls', '-q')).toBe('')
    })

    it('reads stdin to its end, and every byte of it', async () => {
      const { status, stdout } = await runOnce(
        'wc -c; echo done',
        { interactive: true },
        'x'.repeat(1_000_000),
      )
      expect({ status, stdout }).toEqual({ status: 0, stdout: '1000000\ndone\n' })
    })

    it('without stdin sees its end at once', async () => {
      expect((await runOnce('cat; echo done')).stdout).toBe('done\n')
    })

    it('passes bytes on as they are', async () => {
      const { stdout } = await runOnce("printf '\\000\\001\\377\\n\\r'")
      expect(Buffer.from(stdout, 'latin1')).toEqual(Buffer.from([0, 1, 255, 10, 13]))
    })

    it('has a terminal of the size that it is given', async () => {
      const script = 'echo ready; read x; stty size'
      const id = await create(await makeSpec(script, { tty: true, interactive: true }))
      const stream = await engine.attach(id, true)
      const { stdout, ended } = collect(stream, true)
      await engine.start(id)
      await eventually(() => stdout().startsWith('ready'))
      await engine.resize(id, 33, 111)
      stream.write('\n')
      await ended
      expect(stdout()).toMatch(/33 111\r\n$/)
      await engine.wait(id)
      await expect(engine.resize(id, 1, 1)).rejects.toMatchObject({ code: 'HW_ENGINE_FAILED' })
    })

    it('is signalled, and says of what it died', async () => {
      const id = await create(await makeSpec('sleep 60'))
      await engine.start(id)
      await engine.kill(id, 'SIGKILL')
      expect(await engine.wait(id)).toBe(137)
      await expect(engine.kill(id, 'SIGKILL')).rejects.toMatchObject({ code: 'HW_ENGINE_FAILED' })
    })

    it('whose name is taken, or whose image or mount is not there, is refused in words', async () => {
      const spec = await makeSpec('true')
      await create(spec)
      await expect(engine.create(spec)).rejects.toMatchObject({
        code: 'HW_ENGINE_FAILED',
        message: expect.stringMatching(/cannot create the container: .*in use/) as string,
      })
      const absent = await makeSpec('true', { imageId: `sha256:${'0'.repeat(64)}` })
      await expect(engine.create(absent)).rejects.toMatchObject({ code: 'HW_ENGINE_FAILED' })
      const mounts = [
        {
          kind: 'bind',
          source: '/nonexistent',
          target: '/x',
          readOnly: true,
          propagation: 'rprivate',
        },
      ] as const
      const started = makeSpec('true', { mounts })
        .then(create)
        .then((id) => engine.start(id))
      await expect(started).rejects.toMatchObject({
        code: 'HW_ENGINE_FAILED',
        message: expect.stringContaining('/nonexistent') as string,
      })
    })

    it('whose program is not there does not start', async () => {
      const id = await create(await makeSpec('', { argv: ['/nonexistent'] }))
      await expect(engine.start(id)).rejects.toMatchObject({ code: 'HW_ENGINE_FAILED' })
    })
  })

  describe('inside', () => {
    it('it is the caller by number and has no privilege at all', async () => {
      const { stdout } = await runOnce('id; cat /proc/self/status')
      expect(stdout).toMatch(/^uid=2001\S* gid=3000\S* groups=3000\S*,4000\n/)
      for (const name of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
        expect(stdout).toMatch(new RegExp(`^${name}:\\s+0+$`, 'm'))
      expect(stdout).toMatch(/^NoNewPrivs:\s+1$/m)
      expect(stdout).toMatch(/^Seccomp:\s+2$/m)
    })

    it('of the node it shares the namespaces of users and cgroups, no other', async () => {
      const kinds = ['cgroup', 'ipc', 'mnt', 'pid', 'user', 'uts']
      const { stdout } = await runOnce(
        `cd /proc/self/ns; for kind in ${kinds.join(' ')}; do readlink $kind; done`,
      )
      const shared = kinds.filter((kind) => stdout.includes(readlinkSync(`/proc/self/ns/${kind}`)))
      expect(shared).toEqual(['cgroup', 'user'])
    })

    it('no namespace can be made in it, in which it would have every capability', async () => {
      const { stdout } = await runOnce('unshare -U true 2>&1; unshare -Um true 2>&1; echo ended')
      expect(stdout).toMatch(/^(unshare: .*not permitted\n){2}ended\n$/)
    })

    it('what it must not reach in /proc and /sys is hidden, or read-only', async () => {
      const hidden = '/proc/kcore /proc/keys /proc/timer_list /proc/acpi /proc/scsi /sys/firmware'
      const readOnly = '/proc/sys /proc/sysrq-trigger /proc/irq /proc/bus /proc/fs'
      const { stdout } = await runOnce(`
        for path in ${hidden}; do [ ! -e $path ] || grep -q " $path [a-z]*tmpfs " /proc/mounts || echo $path; done
        for path in ${readOnly}; do [ ! -e $path ] || grep -q " $path proc ro," /proc/mounts || echo $path; done
        grep -c . /proc/mounts`)
      expect(stdout).toMatch(/^\d+\n$/)
    })

    it('a setuid program gains nothing', async () => {
      const image = await engine.findImage(parseImageRef('setuid:test'))
      if (image === undefined)
        throw new Error('the world is to be entered with --images setuid:test')
      const { stdout } = await runOnce('', { imageId: image.id, argv: ['/bin/privileges'] })
      expect(stdout).toMatch(/2001/)
      expect(stdout).not.toMatch(/euid[ =:]+0\b/)
    })

    it('the environment is the image’s and the spec’s, word by word', async () => {
      const env = { A: 'a=b c', EMPTY: '', UNICODE: 'ü\n$HOME' }
      const { stdout } = await runOnce('printf "%s|%s|%s|%s" "$A" "$EMPTY" "$UNICODE" "$PATH"', {
        env,
      })
      expect(Buffer.from(stdout, 'latin1').toString()).toBe(
        'a=b c||ü\n$HOME|/usr/local/bin:/usr/bin:/bin',
      )
    })

    it('mounts are what the spec says', async () => {
      const bind = (target: string, readOnly: boolean) =>
        ({ kind: 'bind', source: '/srv', target, readOnly, propagation: 'rprivate' }) as const
      const { stdout } = await runOnce('cat /proc/self/mounts; touch /tmp/x && echo writable', {
        readOnlyRootfs: true,
        mounts: [
          bind('/a b', true),
          bind('/c', false),
          { kind: 'tmpfs', target: '/tmp', sizeBytes: 1048576, mode: 0o1777 },
        ],
      })
      expect(stdout).toMatch(/ \/a\\040b \S+ ro,/)
      expect(stdout).toMatch(/ \/c \S+ rw,/)
      expect(stdout).toMatch(/^tmpfs \/tmp tmpfs rw,nosuid,nodev,noexec\S*,size=1024k/m)
      expect(stdout).toMatch(/^overlay \/ overlay ro,/m)
      expect(stdout).toMatch(/writable\n$/)
    })

    it('without a network there is only a loopback', async () => {
      const interfaces = 'ls /sys/class/net'
      expect((await runOnce(interfaces, { network: 'none' })).stdout).toBe('lo\n')
    })

    it('limits and shared memory are what the spec says', async () => {
      const { stdout } = await runOnce(
        'ulimit -Sn; ulimit -Hn; ulimit -Hc; df -k /dev/shm | tail -1',
        {
          ulimits: [
            { name: 'nofile', soft: 128, hard: 256 },
            { name: 'nproc', soft: 512, hard: 1024 },
            { name: 'core', soft: 0, hard: -1 },
          ],
          devices: [],
          shmSizeBytes: 8 * 1024 * 1024,
        },
      )
      expect(stdout).toMatch(/^128\n256\nunlimited\nshm\s+8192 /)
    })

    it('an image’s health check never runs', async () => {
      const dockerfile = 'FROM busybox:test\nHEALTHCHECK --interval=1s CMD touch /tmp/checked\n'
      await buildImage('docker.io/library/healthy:test', dockerfile)
      try {
        const image = await engine.findImage(parseImageRef('healthy:test'))
        const { stdout } = await runOnce('sleep 2.5; ls /tmp', { imageId: image?.id ?? '' })
        expect(stdout).toBe('')
      } finally {
        await engineCommand('rmi', '-f', 'docker.io/library/healthy:test')
      }
    })
  })

  describe('our containers', () => {
    it('are listed, running or not, and no others', async () => {
      const own = await makeSpec('sleep 60')
      const stopped = await makeSpec('true')
      const otherNode = await makeSpec('true', {})
      const alien = { ...otherNode, labels: { ...otherNode.labels, 'hepwrap.node': 'hepp/other' } }
      const running = await create(own)
      await engine.start(running)
      const created = await create(stopped)
      await create(alien)
      const plain = await engineCommand('create', 'busybox:test', 'true')
      // By somebody who builds images: every label of ours, on another tool's container.
      const inherited = await engineCommand(
        'create',
        ...labelsOf(own),
        '--name',
        'precious',
        'busybox:test',
        'true',
      )
      made.push(plain, inherited)
      const listed = await engine.listOwn()
      expect(new Map(listed.map(({ id, running: isRunning }) => [id, isRunning]))).toEqual(
        new Map([
          [running, true],
          [created, false],
        ]),
      )
      expect(listed.map(({ runId }) => `hepwrap-${runId}`).sort()).toEqual(
        [own.name, stopped.name].sort(),
      )
    })

    const labelsOf = ({ labels }: ContainerSpec) =>
      Object.entries(labels).flatMap(([name, value]) => ['--label', `${name}=${value}`])
  })

  describe('an engine', () => {
    it('tells what it is', async () => {
      expect(await engine.facts()).toMatchObject({
        name: engineName,
        version: expect.stringMatching(/^\d+\.\d+/) as string,
        apiVersion: expect.stringMatching(/^1\.\d+$/) as string,
        cgroupDriver: expect.stringMatching(/^(cgroupfs|systemd)$/) as string,
        platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
      })
    })

    it('that goes away is down at once, and well again when it is back', async () => {
      await engine.facts()
      await service('kill', engineService)
      await expect(engine.facts()).rejects.toMatchObject({ code: 'HW_ENGINE_DOWN' })
      await expect(engine.create(await specWithoutImage())).rejects.toMatchObject({
        code: 'HW_ENGINE_DOWN',
      })
      await service('start', engineService)
      await engine.facts() // not by a connection that the old one had kept alive
      expect((await runOnce('echo back')).stdout).toBe('back\n')
    })

    const specWithoutImage = async (): Promise<ContainerSpec> => {
      const spec = { name: 'x', imageId: 'x' }
      return { ...(await withoutEngine()), ...spec }
    }
    const withoutEngine = () =>
      Promise.resolve({
        ...{
          argv: ['x'],
          env: {},
          labels: {},
          uid: 1,
          gid: 1,
          groups: [],
          tty: false,
          interactive: false,
        },
        ...{
          network: 'none' as const,
          readOnlyRootfs: true,
          devices: [],
          shmSizeBytes: undefined,
          ulimits: [],
          mounts: [],
        },
        ...{ runtime: '' },
      })

    it('that dies under a run ends its output', async () => {
      const id = await engine.create(
        await makeSpec('trap exit TERM; echo begun; while :; do sleep 0.1; done'),
      )
      const stream = await engine.attach(id, false)
      const { stdout } = collect(stream)
      stream.on('error', () => undefined)
      const closed = new Promise((resolve) => stream.once('close', resolve))
      await engine.start(id)
      await eventually(() => stdout() === 'begun\n')
      await service('kill', engineService)
      await closed
      await service('start', engineService)
      made.push(id)
    })
  })
}
