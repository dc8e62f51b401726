// What an engine may answer that a real one seldom does: failures in the middle of a stream, oddities, others' containers.
import { describe, expect, it } from 'vitest'
import type { PullProgress } from '../../../src/engine/engine.js'
import { parseImageRef } from '../../../src/plan/image-ref.js'
import { engineThat, json, type Reply } from './fake-docker.js'

const busybox = parseImageRef('busybox:1')
const never = new AbortController().signal

async function pullFrom(reply: Reply, signal = never): Promise<PullProgress[]> {
  const engine = await engineThat(reply)
  const progress: PullProgress[] = []
  await engine.pullImage(busybox, (event) => progress.push(event), signal)
  return progress
}

const streaming =
  (...chunks: (string | Buffer)[]): Reply =>
  (_request, response) => {
    response.writeHead(200, { 'Content-Type': 'application/json' })
    for (const chunk of chunks) response.write(chunk)
    response.end()
  }

describe('a pull', () => {
  it('tells its progress as it comes, however the stream is cut', async () => {
    const lines = [
      '{"status":"Pulling from library/busybox","id":"1"}\r\n',
      '{"status":"Downloading","progressDetail":{"current":5,"total":10},"id":"ä"}\r\n{"status":"Extra',
      'cting","progressDetail":{}}\r\n\r\n',
      '{"status":"done"}',
    ]
    expect(await pullFrom(streaming(...lines))).toEqual([
      { status: 'Pulling from library/busybox' },
      { status: 'Downloading', current: 5, total: 10 },
      { status: 'Extracting' },
      { status: 'done' },
    ])
  })

  it('asks for the canonical name', async () => {
    let asked: string | undefined
    await pullFrom((request, response) => {
      asked = request.url
      streaming('{}')(request, response)
    })
    const query = new URL(asked ?? '', 'http://x').searchParams
    expect(query.get('fromImage')).toBe('docker.io/library/busybox')
    expect(query.get('tag')).toBe('1')
  })

  it.each([
    ['no matching manifest for linux/amd64 in the manifest list entries', 'HW_IMAGE_PLATFORM'],
    ['unexpected EOF', 'HW_REGISTRY_DOWN'],
    ['write /x: no space left on device', 'HW_PULL_FAILED'],
  ])('that fails in the stream, under status 200, has failed: %s', async (error, code) => {
    const told = pullFrom(
      streaming(
        '{"status":"Pulling"}\n',
        JSON.stringify({ errorDetail: { message: error }, error }),
        '\n',
      ),
    )
    await expect(told).rejects.toMatchObject({ code })
    await expect(
      pullFrom(streaming(JSON.stringify({ errorDetail: { message: error } }))),
    ).rejects.toMatchObject({ code })
  })

  it('that is refused by status has failed', async () => {
    const reply: Reply = (_request, response) =>
      json(
        response,
        { message: 'manifest for x not found: manifest unknown: manifest unknown' },
        404,
      )
    await expect(pullFrom(reply)).rejects.toMatchObject({ code: 'HW_IMAGE_NOT_FOUND' })
  })

  it('whose engine dies in the middle has failed, and says which of the two went away', async () => {
    const reply: Reply = (_request, response) => {
      response.writeHead(200)
      response.write('{"status":"Pulling"}\n')
      setTimeout(() => response.destroy(), 20)
    }
    await expect(pullFrom(reply)).rejects.toMatchObject({ code: 'HW_ENGINE_DOWN' })
  })

  it.each(['<html>502 Bad Gateway</html>\n', '{"status":\n', '[1,2]\nnull\n"x"\n7\noops\n'])(
    'that says %j has failed, and brings nobody down',
    async (text) => {
      await expect(pullFrom(streaming(text))).rejects.toMatchObject({ code: 'HW_PULL_FAILED' })
    },
  )

  it('that is aborted ends, and the engine is told', async () => {
    const abort = new AbortController()
    let closed: () => void = () => undefined
    const isClosed = new Promise<void>((resolve) => (closed = resolve))
    const reply: Reply = (_request, response) => {
      response.on('close', () => closed())
      response.writeHead(200)
      response.write('{"status":"Pulling"}\n')
      setTimeout(() => abort.abort(new Error('nobody waits')), 10)
    }
    await expect(pullFrom(reply, abort.signal)).rejects.toThrow()
    await isClosed
  })
})

describe('an import', () => {
  it('that fails in the stream has failed', async () => {
    const engine = await engineThat((request, response) => {
      request.resume()
      request.on('end', () =>
        streaming('{"error":"archive/tar: invalid tar header"}\n')(request, response),
      )
    })
    await expect(engine.importImage(Buffer.alloc(1024), busybox)).rejects.toMatchObject({
      code: 'HW_ENGINE_FAILED',
      message: expect.stringContaining('invalid tar header') as string,
    })
  })
})

describe('our containers', () => {
  const runId = 'a'.repeat(32)
  const listed = (labels: Record<string, string> | null, names: string[], state = 'running') => ({
    Id: 'c'.repeat(64),
    Names: names,
    Labels: labels,
    State: state,
  })

  const listOwn = async (...containers: object[]) => {
    let asked = ''
    const engine = await engineThat((request, response) => {
      asked = request.url ?? ''
      json(response, containers)
    })
    const own = await engine.listOwn()
    return { own, query: new URL(asked, 'http://x').searchParams }
  }

  it('are asked for by both labels, stopped ones too', async () => {
    const { query } = await listOwn()
    expect(query.get('all')).toMatch(/^(?:true|1)$/)
    expect(JSON.parse(query.get('filters') ?? '')).toEqual({
      label: ['hepwrap.run', 'hepwrap.node=hepp/n1'],
    })
  })

  it('are those of our labels and our name', async () => {
    const labels = { 'hepwrap.run': runId, 'hepwrap.node': 'hepp/n1' }
    const { own } = await listOwn(
      listed(labels, [`/hepwrap-${runId}`]),
      listed(labels, [`/hepwrap-${runId}`], 'exited'),
    )
    expect(own.map(({ running }) => running)).toEqual([true, false])
    expect(own[0]).toMatchObject({ id: 'c'.repeat(64), runId })
  })

  // An image may carry any label, and whatever else runs on this engine inherits it.
  it.each([
    [{ 'hepwrap.run': runId, 'hepwrap.node': 'hepp/n1' }, ['/database']],
    [{ 'hepwrap.run': runId, 'hepwrap.node': 'hepp/n1' }, []],
    [{ 'hepwrap.run': '', 'hepwrap.node': 'hepp/n1' }, ['/hepwrap-']],
    [{ 'hepwrap.run': 'x', 'hepwrap.node': 'hepp/n1' }, ['/hepwrap-x']],
    [{ 'hepwrap.run': runId, 'hepwrap.node': 'hepp/n2' }, [`/hepwrap-${runId}`]],
    [null, [`/hepwrap-${runId}`]],
  ])('are not those that only carry a label of ours: %j %j', async (labels, names) => {
    expect((await listOwn(listed(labels, names))).own).toEqual([])
  })
})

describe('images', () => {
  it('of an engine without any, or with nulls where lists should be, are none', async () => {
    const engine = await engineThat((_request, response) =>
      json(response, [
        { Id: 'sha256:1', RepoTags: null, RepoDigests: null, Size: 1 },
        { Id: 'sha256:2', RepoTags: ['<none>:<none>'], RepoDigests: ['a@sha256:2'], Size: 1 },
        {
          Id: 'sha256:3',
          RepoTags: ['localhost:5000/a:1', 'b:2'],
          RepoDigests: ['b@sha256:9'],
          Size: 3,
        },
      ]),
    )
    expect(await engine.listImages()).toEqual([
      {
        name: 'localhost:5000/a:1',
        id: 'sha256:3',
        digest: undefined,
        namedDigests: [],
        digests: ['sha256:9', 'sha256:3'],
        sizeBytes: 3,
      },
      {
        name: 'b:2',
        id: 'sha256:3',
        digest: 'sha256:9',
        namedDigests: ['sha256:9'],
        digests: ['sha256:9', 'sha256:3'],
        sizeBytes: 3,
      },
    ])
  })

  it('are found with the digest of the very name that was asked for', async () => {
    const engine = await engineThat((_request, response) =>
      json(response, {
        Id: 'sha256:1',
        RepoDigests: ['evil.example/busybox@sha256:bad', 'busybox@sha256:good'],
        Config: null,
        Os: 'linux',
        Architecture: 'amd64',
        Size: 7,
      }),
    )
    expect(await engine.findImage(busybox)).toEqual({
      id: 'sha256:1',
      digest: 'sha256:good',
      namedDigests: ['sha256:good'],
      digests: ['sha256:bad', 'sha256:good', 'sha256:1'],
      entrypoint: [],
      command: [],
      workdir: '',
      platform: 'linux/amd64',
      sizeBytes: 7,
    })
  })

  it('have every digest under their name; one asked for by digest has that alone', async () => {
    const [a, b] = ['a', 'b'].map((digit) => `sha256:${digit.repeat(64)}`)
    const engine = await engineThat((_request, response) =>
      json(response, {
        Id: 'sha256:1',
        RepoDigests: [`busybox@${a}`, `busybox@${b}`, `x@sha256:2`],
      }),
    )
    const found = async (text: string) =>
      (await engine.findImage(parseImageRef(text)))?.namedDigests
    expect(await found('busybox:1')).toEqual([a, b])
    expect(await found(`busybox@${b}`)).toEqual([b])
    expect(await found(`busybox@sha256:${'c'.repeat(64)}`)).toEqual([])
  })
})

describe('an engine that', () => {
  it('is not there is down, whatever was asked', async () => {
    const { createDockerEngine } = await import('../../../src/engine/docker-engine.js')
    const engine = createDockerEngine({
      socketPath: '/nonexistent/docker.sock',
      node: 'a/b',
      runDir: '/run',
    })
    const asked = [
      engine.facts(),
      engine.findImage(busybox),
      engine.listImages(),
      engine.listOwn(),
      engine.remove('x'),
      engine.pullImage(busybox, () => undefined, never),
    ]
    for (const answer of asked)
      await expect(answer).rejects.toMatchObject({ code: 'HW_ENGINE_DOWN' })
  })

  it('drops the connection is down', async () => {
    const engine = await engineThat((request) => request.socket.destroy())
    await expect(engine.facts()).rejects.toMatchObject({ code: 'HW_ENGINE_DOWN' })
  })

  it('has removed a container already, or not found it, has it removed', async () => {
    const engine = await engineThat((_request, response) =>
      json(response, { message: 'No such container: x' }, 404),
    )
    await expect(engine.remove('x')).resolves.toBeUndefined()
    await expect(engine.kill('x' as never, 'SIGKILL')).rejects.toMatchObject({
      code: 'HW_ENGINE_FAILED',
    })
  })
})
