// The contract of `Engine` with a real Docker Engine and real registries: images found, listed, imported and pulled, and
// each way a pull can fail told apart (ACCEPTANCE 29).
import { createServer, type Server } from 'node:http'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createDockerEngine } from '../../../src/engine/docker-engine.js'
import type { PullProgress } from '../../../src/engine/engine.js'
import { parseImageRef, pullName } from '../../../src/plan/image-ref.js'
import { buildImage, engineCommand, type TestEngine } from '../../world/engine.js'
import { as, service } from '../../world/world.js'

const REGISTRY = '127.0.0.1:5000'
const PLATFORM = `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`
export function imageContract({ name: engineName, socketPath }: TestEngine): void {
  const engine = createDockerEngine({ socketPath, node: 'hepp/contract', runDir: '/run' })

  /** Pushed to the registry and forgotten here, so that every pull begins with nothing. */
  async function push(image: string, name: string): Promise<void> {
    await engineCommand('tag', image, name)
    await engineCommand('push', '-q', name)
    await engineCommand('rmi', name)
  }

  async function pull(
    text: string,
    signal = new AbortController().signal,
  ): Promise<PullProgress[]> {
    const progress: PullProgress[] = []
    await engine.pullImage(parseImageRef(text), (event) => progress.push(event), signal)
    return progress
  }

  beforeAll(async () => {
    await buildImage('docker.io/library/box:made', 'FROM busybox:test\nLABEL box=made\n')
    await push('docker.io/library/box:made', `${REGISTRY}/atlas/box:1`)
    await engineCommand('rmi', 'docker.io/library/box:made')
  })

  const pulled = new Set<string>()
  afterEach(async () => {
    for (const name of pulled) await as('root').run([engineName, 'rmi', '-f', name])
    pulled.clear()
  })

  describe('an image', () => {
    it('is found under its name, with what a container needs of it', async () => {
      expect(await engine.findImage(parseImageRef('busybox:test'))).toMatchObject({
        id: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string,
        entrypoint: [],
        command: ['/bin/sh'],
        platform: PLATFORM,
      })
    })

    it('is found under each of its spellings', async () => {
      const { id } = (await engine.findImage(parseImageRef('busybox:test'))) ?? {}
      for (const text of [
        'docker.io/busybox:test',
        'docker.io/library/busybox:test',
        'index.docker.io/library/busybox:test',
      ])
        expect((await engine.findImage(parseImageRef(text)))?.id, text).toBe(id)
    })

    it('that is not there is undefined', async () => {
      for (const text of [
        'nosuch',
        'busybox:nosuch',
        `${REGISTRY}/busybox:test`,
        `busybox@sha256:${'0'.repeat(64)}`,
      ])
        expect(await engine.findImage(parseImageRef(text)), text).toBeUndefined()
    })

    it('is never found by an id, whatever name looks like one', async () => {
      const { id = '' } = (await engine.findImage(parseImageRef('busybox:test'))) ?? {}
      const short = id.slice('sha256:'.length, 'sha256:'.length + 12)
      expect(id).toContain(await engineCommand('image', 'inspect', '-f', '{{.Id}}', short))
      expect(await engine.findImage(parseImageRef(short))).toBeUndefined()
    })

    it('for another machine says so', async () => {
      expect((await engine.findImage(parseImageRef('foreign:test')))?.platform).toBe('linux/s390x')
    })

    it('is listed under each of its names', async () => {
      await engineCommand('tag', 'busybox:test', 'docker.io/atlas/other:2')
      pulled.add('docker.io/atlas/other:2')
      const listed = await engine.listImages()
      const names = listed.map(({ name }) => name)
      expect(names).toEqual(expect.arrayContaining(['busybox:test', 'atlas/other:2']))
      expect(names.filter((name) => name.includes('<none>'))).toEqual([])
      expect(listed.every(({ sizeBytes }) => sizeBytes > 0)).toBe(true)
    })

    it('is made from a tar, and a tar that is none is refused', async () => {
      const ref = parseImageRef('contract/empty:1')
      pulled.add('docker.io/contract/empty:1')
      await engine.importImage(Buffer.alloc(1024), ref)
      expect(await engine.findImage(ref)).toMatchObject({
        command: [],
        entrypoint: [],
        platform: PLATFORM,
      })
      await expect(
        engine.importImage(Buffer.from('x'.repeat(2048)), parseImageRef('contract/broken:1')),
      ).rejects.toMatchObject({ code: 'HW_ENGINE_FAILED' })
      expect(await engine.findImage(parseImageRef('contract/broken:1'))).toBeUndefined()
    })
  })

  describe('a pull', () => {
    it('brings what is missing, tells its progress, and gives the digest it came under', async () => {
      const name = `${REGISTRY}/atlas/box:1`
      pulled.add(name)
      const progress = await pull(name)
      expect(progress.map(({ status }) => status).join('\n')).toMatch(
        /Pulling[^]*(Downloaded|complete)/,
      )
      const image = await engine.findImage(parseImageRef(name))
      expect(image?.digest).toMatch(/^sha256:[0-9a-f]{64}$/)
      expect((await engine.listImages()).find((one) => one.name === name)?.digest).toBe(
        image?.digest,
      )

      const byDigest = parseImageRef(`${REGISTRY}/atlas/box@${image?.digest ?? ''}`)
      expect((await engine.findImage(byDigest))?.id).toBe(image?.id)
      await engineCommand('rmi', name)
      pulled.add(pullName(byDigest))
      await pull(byDigest.text)
      expect(await engine.findImage(byDigest)).toMatchObject({
        id: image?.id,
        digest: image?.digest,
      })
    })

    it('of what is there already is quick and no failure', async () => {
      const name = `${REGISTRY}/atlas/box:1`
      pulled.add(name)
      await pull(name)
      const before = await engine.findImage(parseImageRef(name))
      expect((await pull(name)).length).toBeGreaterThan(0)
      expect(await engine.findImage(parseImageRef(name))).toEqual(before)
    })
  })

  describe('ACCEPTANCE 29: a pull that fails says why, each reason by its own code', () => {
    afterAll(async () => {
      await service('stop', 'registry-auth')
    })

    it.each([
      ['no such repository', `${REGISTRY}/atlas/nosuch:1`, 'HW_IMAGE_NOT_FOUND'],
      ['no such tag', `${REGISTRY}/atlas/box:nosuch`, 'HW_IMAGE_NOT_FOUND'],
      ['no such digest', `${REGISTRY}/atlas/box@sha256:${'0'.repeat(64)}`, 'HW_IMAGE_NOT_FOUND'],
      ['nobody listens', '127.0.0.1:5999/atlas/box:1', 'HW_REGISTRY_DOWN'],
      ['no such host', 'registry.invalid/atlas/box:1', 'HW_REGISTRY_DOWN'],
    ])('%s', async (_what, name, code) => {
      await expect(pull(name)).rejects.toMatchObject({
        code,
        message: expect.stringContaining(`"${name}"`) as string,
      })
    })

    it('credentials are wanted', async () => {
      await service('start', 'registry-auth')
      await expect(pull('127.0.0.1:5001/atlas/box:1')).rejects.toMatchObject({
        code: 'HW_REGISTRY_AUTH',
      })
    })

    it('no variant for this node, which the engine tells in the middle of the stream', async () => {
      const name = `${REGISTRY}/atlas/foreign`
      await push('foreign:test', `${name}:only`)
      await putManifestList('atlas/foreign', 'only', 's390x')
      await expect(pull(`${name}:list`)).rejects.toMatchObject({ code: 'HW_IMAGE_PLATFORM' })
      expect(await engine.findImage(parseImageRef(`${name}:list`))).toBeUndefined()
    })

    it('the registry is taken away, and given back', async () => {
      const name = `${REGISTRY}/atlas/box:1`
      pulled.add(name)
      await service('stop', 'registry')
      await expect(pull(name)).rejects.toMatchObject({ code: 'HW_REGISTRY_DOWN' })
      await service('start', 'registry')
      await pull(name)
    })

    it('the registry fails, or answers nonsense', async () => {
      const broken = await listen((path) => (path === '/v2/' ? { status: 200 } : { status: 503 }))
      await expect(pull(`${broken.host}/a/b:1`)).rejects.toMatchObject({ code: 'HW_REGISTRY_DOWN' })
      broken.server.close()
      const forbidding = await listen((path) =>
        path === '/v2/' ? { status: 200 } : { status: 403 },
      )
      await expect(pull(`${forbidding.host}/a/b:1`)).rejects.toMatchObject({
        code: 'HW_REGISTRY_AUTH',
      })
      forbidding.server.close()
    })

    it('whoever waited has gone: the pull ends at once, though the registry never answers', async () => {
      const { server, host } = await listen(() => undefined)
      const abort = new AbortController()
      const failed = expect(pull(`${host}/a/b:1`, abort.signal)).rejects.toThrow()
      setTimeout(() => abort.abort(), 300)
      const startedAtMs = performance.now()
      await failed
      expect(performance.now() - startedAtMs).toBeLessThan(3000)
      server.closeAllConnections()
      server.close()
    })
  })

  /** An index that names the pushed image for one architecture only, tagged "list". */
  async function putManifestList(
    repository: string,
    tag: string,
    architecture: string,
  ): Promise<void> {
    const base = `http://${REGISTRY}/v2/${repository}/manifests`
    const type = 'application/vnd.docker.distribution.manifest'
    const manifest = await fetch(`${base}/${tag}`, { headers: { Accept: `${type}.v2+json` } })
    const body = await manifest.text()
    const list = {
      schemaVersion: 2,
      mediaType: `${type}.list.v2+json`,
      manifests: [
        {
          mediaType: `${type}.v2+json`,
          size: Buffer.byteLength(body),
          digest: manifest.headers.get('Docker-Content-Digest'),
          platform: { architecture, os: 'linux' },
        },
      ],
    }
    const answer = await fetch(`${base}/list`, {
      method: 'PUT',
      headers: { 'Content-Type': `${type}.list.v2+json` },
      body: JSON.stringify(list),
    })
    expect(answer.status).toBe(201)
  }

  /** A registry that answers as told, or not at all. */
  async function listen(
    answer: (path: string) => { status: number } | undefined,
  ): Promise<{ server: Server; host: string }> {
    const server = createServer((request, response) => {
      const reply = answer(request.url ?? '')
      if (reply !== undefined) response.writeHead(reply.status).end('<html>no</html>')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    return { server, host: `127.0.0.1:${address.port}` }
  }
}
