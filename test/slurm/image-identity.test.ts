// What was judged is what runs: names that move, in the registry and on the node, while runs go on; and content that is
// known under several names and digests. Each image says a word, so that a run tells which content it was.
import { createServer, connect, type Server } from 'node:net'
import { rmSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { testEngine } from '../world/engine.js'
import { type ConfigOverrides, startDaemon, stopDaemons } from '../world/daemon.js'
import { engine, leftovers, nothing } from '../world/traces.js'
import { holdRun } from './held-run.js'
import { complaint, hepwrapRun, hepwrapRuns, recordNamed, records } from './job-runs.js'
import { docker, push, REGISTRY, removeImages, REPOSITORY } from './word-images.js'

const OTHER = `${REGISTRY}/cms/box`
const NOW = `${REPOSITORY}:now`

/** By word: the digest that it was pushed with. */
const digests: Record<string, string> = {}
const wordOf = (digest: string | null) =>
  Object.entries(digests).find(([, known]) => known === digest)?.[0]

beforeAll(async () => {
  for (const word of ['good', 'bad']) digests[word] = await push(`${REPOSITORY}:${word}`, word)
})
afterEach(async () => {
  await stopDaemons()
  await removeImages()
})
afterAll(async () => expect(await leftovers()).toEqual(nothing))

const idOf = async (name: string): Promise<string> =>
  ((await engine('GET', `/images/${name}/json`)).body as { Id: string }).Id

async function pullBoth(): Promise<void> {
  for (const word of ['good', 'bad']) await docker('pull', '-q', `${REPOSITORY}:${word}`)
}

/** The name means this word from now on, on this node. */
const tagNow = (word: string) =>
  engine('POST', `/images/${REPOSITORY}:${word}/tag?repo=${REPOSITORY}&tag=now`)

const only = (...allow: string[]): ConfigOverrides => ({ images: { allow, pull: 'always' } })

describe('a name that moves on the node', () => {
  it('between judgement and create: what was judged runs', async () => {
    await pullBoth()
    await tagNow('good')
    const proxy = await proxyThat(() => tagNow('bad'))
    try {
      const config = {
        ...only(`${REPOSITORY}@${digests['good']!}`),
        engine: { socket: proxy.path },
      }
      await startDaemon({ config })
      const options = ['--name', 'moved']
      const run = await holdRun('alice', ['srun', '-Q'], options, { image: NOW })
      const record = await recordNamed('moved')
      const { body } = await engine('GET', `/containers/hepwrap-${record.id}/json`)
      const { Image, Config } = body as { Image: string; Config: { Image: string } }
      const id = await idOf(`${REPOSITORY}:good`)
      expect({ Image, named: Config.Image }).toEqual({ Image: id, named: id })
      expect(record).toMatchObject({ image_id: id, image_digest: digests['good']! })
      expect(await idOf(NOW)).toBe(await idOf(`${REPOSITORY}:bad`))
      expect(proxy.creates()).toBeGreaterThan(0)
      await run.release()
      // The name is now what it is.
      const next = await hepwrapRun('alice', [NOW, 'cat', '/word'])
      expect(complaint(next)).toContain('(HW_IMAGE_REFUSED)')
    } finally {
      proxy.close()
    }
  })

  it('200 times while runs go on: each is what its record says, and nothing else ever runs', async () => {
    await pullBoth()
    await tagNow('good')
    await startDaemon({ config: only(`${REPOSITORY}@${digests['good']!}`) })
    const flips = flipping()
    const runs = Array.from({ length: 30 }, (_, n) => ['--name', `f${n}`, NOW, 'cat', '/word'])
    const results = await hepwrapRuns('alice', runs)
    expect(await flips.stop()).toBeGreaterThan(200)
    const kept = await records('alice')
    const outcomes = results.map(({ status, stdout, stderr }, index) => {
      const record = kept.find(({ name }) => name === `f${index}`)
      const ran = { word: stdout.trim(), recorded: wordOf(record?.image_digest ?? null) }
      if (status === 0) expect(ran).toEqual({ word: 'good', recorded: 'good' })
      else expect({ stdout, code: complaint({ stderr }).split(' ').at(-1) }).toEqual(REFUSED)
      return status
    })
    // Both happened, or the window was never open.
    expect(new Set(outcomes)).toEqual(new Set([0, 125]))
  })

  const REFUSED = { stdout: '', code: '(HW_IMAGE_REFUSED)' }

  /** The name moved to and fro, as fast as the engine does it, until it is stopped; how often. */
  function flipping(): { stop: () => Promise<number> } {
    let isOver = false
    const flip = async (): Promise<number> => {
      let count = 0
      while (!isOver) await tagNow(count++ % 2 === 0 ? 'bad' : 'good')
      return count
    }
    const flips = flip()
    return {
      stop: () => {
        isOver = true
        return flips
      },
    }
  }
})

describe('a tag that moves in the registry', () => {
  it('while tasks pull it: each record has the digest of what ran', async () => {
    const image = `${REPOSITORY}:rolling`
    digests['r0'] = await push(image, 'r0')
    await startDaemon({ config: only(`${REGISTRY}/*`) })
    const runs = Array.from({ length: 12 }, (_, n) => [
      '--pull',
      'always',
      '--name',
      `r${n}`,
      image,
      'cat',
      '/word',
    ])
    const going = hepwrapRuns('alice', runs)
    for (const word of ['r1', 'r2', 'r3']) digests[word] = await push(image, word)
    const results = await going
    const last = await hepwrapRun('alice', [
      '--pull',
      'always',
      '--name',
      'last',
      image,
      'cat',
      '/word',
    ])
    expect(last.stdout).toBe('r3\n')
    const kept = await records('alice')
    for (const [index, { status, stdout }] of results.entries()) {
      const record = kept.find(({ name }) => name === `r${index}`)
      expect({ status, word: stdout.trim() }).toEqual({
        status: 0,
        word: wordOf(record?.image_digest ?? null),
      })
    }
  })
})

describe('content with two names', () => {
  beforeAll(async () => {
    // The same manifest, in another repository.
    await docker('pull', '-q', `${REPOSITORY}:good`)
    await docker('tag', `${REPOSITORY}:good`, `${OTHER}:good`)
    await docker('push', '-q', `${OTHER}:good`)
    await removeImages()
  })
  const bothNames = async () => {
    for (const name of [`${REPOSITORY}:good`, `${OTHER}:good`]) await docker('pull', '-q', name)
    expect(await idOf(`${OTHER}:good`)).toBe(await idOf(`${REPOSITORY}:good`))
  }

  it('is allowed under the one that the site names', async () => {
    await bothNames()
    await startDaemon({ config: only(OTHER) })
    const [allowed, refused] = await hepwrapRuns('alice', [
      [`${OTHER}:good`, 'cat', '/word'],
      [`${REPOSITORY}:good`, 'cat', '/word'],
    ])
    expect(allowed).toMatchObject({ status: 0, stdout: 'good\n' })
    expect(refused).toMatchObject({ status: 125, stdout: '' })
  })

  it('a digest allowed under one is not allowed under the other', async () => {
    await bothNames()
    await startDaemon({ config: only(`${OTHER}@${digests['good']!}`) })
    const names = [`${OTHER}:good`, `${REPOSITORY}:good`, `${REPOSITORY}@${digests['good']!}`]
    const results = await hepwrapRuns(
      'alice',
      names.map((name) => [name, 'cat', '/word']),
    )
    expect(results.map(({ status }) => status)).toEqual([0, 125, 125])
  })

  it('a digest denied is denied under every name that the entry covers', async () => {
    await bothNames()
    const images = { allow: ['*'], deny: [`127.0.0.1:*/*@${digests['good']!}`], pull: 'always' }
    await startDaemon({ config: { images } })
    await docker('tag', `${REPOSITORY}:good`, `${REGISTRY}/x/local:1`)
    await docker('tag', `${REPOSITORY}:good`, `${REPOSITORY}:alias`)
    const names = [`${OTHER}:good`, `${REPOSITORY}:alias`, `${REGISTRY}/x/local:1`]
    const results = await hepwrapRuns(
      'alice',
      names.map((name) => [name, 'cat', '/word']),
    )
    expect(results.map(({ status, stdout }) => ({ status, stdout }))).toEqual(
      names.map(() => ({ status: 125, stdout: '' })),
    )
  })
})

describe('content with two digests, an index’s and its platform’s', () => {
  let ofIndex: string
  let ofPlatform: string
  const tag = `${REPOSITORY}:indexed`

  beforeAll(async () => {
    ofPlatform = await push(`${REPOSITORY}:platform`, 'indexed')
    ofIndex = await putIndex('atlas/box', 'indexed', ofPlatform)
  })

  /** In either order a name has both, and the engine lists them by their letters. */
  it.each(['index', 'platform'])('allowed by that of its %s, it runs by its tag', async (which) => {
    await docker('pull', '-q', tag)
    await docker('pull', '-q', `${REPOSITORY}@${ofPlatform}`)
    const digest = which === 'index' ? ofIndex : ofPlatform
    await startDaemon({ config: only(`${REPOSITORY}@${digest}`) })
    const run = await hepwrapRun('alice', ['--name', which, tag, 'cat', '/word'])
    expect(run).toMatchObject({ status: 0, stdout: 'indexed\n' })
    expect(await recordNamed(which)).toMatchObject({ image_digest: digest })
  })

  it('denied by its id, it is denied under each of its digests', async () => {
    await docker('pull', '-q', tag)
    const id = await idOf(tag)
    await removeImages()
    const images = { allow: [`${REGISTRY}/*`], deny: [`127.0.0.1:*/*@${id}`], pull: 'always' }
    await startDaemon({ config: { images } })
    const names = [
      tag,
      `${REPOSITORY}:platform`,
      `${REPOSITORY}@${ofIndex}`,
      `${REPOSITORY}@${ofPlatform}`,
    ]
    const results = await hepwrapRuns(
      'alice',
      names.map((name) => [name, 'cat', '/word']),
    )
    expect(results.map(({ status, stdout }) => ({ status, stdout }))).toEqual(
      names.map(() => ({ status: 125, stdout: '' })),
    )
  })
})

/** An index of one manifest, for this machine; its digest. */
async function putIndex(repository: string, tag: string, digest: string): Promise<string> {
  const base = `http://${REGISTRY}/v2/${repository}/manifests`
  const mediaType = 'application/vnd.docker.distribution.manifest.v2+json'
  const manifest = await fetch(`${base}/${digest}`, { headers: { Accept: mediaType } })
  const size = Buffer.byteLength(await manifest.text())
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch
  const list = 'application/vnd.docker.distribution.manifest.list.v2+json'
  const manifests = [{ mediaType, size, digest, platform: { architecture, os: 'linux' } }]
  const answer = await fetch(`${base}/${tag}`, {
    method: 'PUT',
    headers: { 'Content-Type': list },
    body: JSON.stringify({ schemaVersion: 2, mediaType: list, manifests }),
  })
  expect(answer.status).toBe(201)
  return answer.headers.get('Docker-Content-Digest') ?? ''
}

interface Proxy {
  readonly path: string
  readonly creates: () => number
  readonly close: () => void
}

/** The engine's socket, where something happens just before each create request gets through. */
async function proxyThat(beforeCreate: () => Promise<unknown>): Promise<Proxy> {
  const path = '/run/slow-docker.sock'
  let creates = 0
  const server: Server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ path: testEngine.socketPath, allowHalfOpen: true })
    upstream.pipe(client)
    const forward = async () => {
      for await (const chunk of client) {
        const isCreate = (chunk as Buffer).subarray(0, 64).includes('/containers/create')
        if (isCreate) {
          creates++
          await beforeCreate()
        }
        upstream.write(chunk as Buffer)
      }
      upstream.end()
    }
    forward().catch(() => upstream.destroy())
    upstream.on('error', () => client.destroy())
    client.on('error', () => upstream.destroy())
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  const close = () => {
    server.close()
    rmSync(path, { force: true })
  }
  return { path, creates: () => creates, close }
}
