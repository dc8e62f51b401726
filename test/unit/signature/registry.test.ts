// What is asked of a registry, in which order, and what is made of its answers. What a hostile one does: hostile-registry.test.ts
import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createRegistry, type RegistryOptions } from '../../../src/signature/registry.js'
import { signDigest } from '../../support/cosign-signature.js'
import { selfSigned } from '../../support/self-signed.js'
import {
  answersOf,
  blobPath,
  DIGEST,
  MANIFEST,
  redirect,
  send,
  startRegistry,
  type Answers,
  type FakeRegistry,
} from './fake-registry.js'

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const signature = signDigest(DIGEST, privateKey)
const sound = answersOf([signature])
const tls = selfSigned()

const fetchOf = (registry: FakeRegistry, options: Partial<RegistryOptions> = {}) =>
  createRegistry({
    isInsecure: async () => true,
    certsDirectory: '/nowhere',
    ...options,
  }).fetchSignatures(registry.ref, DIGEST, new AbortController().signal)

/** A directory of docker's kind, in which the registry's certificate is trusted. */
function certsOf({ host }: FakeRegistry, name = 'ca.crt'): string {
  const directory = mkdtempSync(join(tmpdir(), 'certs-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  mkdirSync(join(directory, host))
  writeFileSync(join(directory, host, name), tls.cert)
  return directory
}

describe('the signatures of a digest', () => {
  it('are read from beside the image, each payload once', async () => {
    const other = signDigest(DIGEST, generateKeyPairSync('ed25519').privateKey)
    const registry = await startRegistry(answersOf([signature, other, signature]))
    expect(await fetchOf(registry)).toEqual([signature, other, signature])
    expect(registry.lines()).toEqual([`GET ${MANIFEST}`, `GET ${blobPath(signature.digest)}`])
  })

  it('are none where the registry has no such manifest', async () => {
    expect(await fetchOf(await startRegistry({}))).toBeUndefined()
  })

  it('are those whose payload is there', async () => {
    const { [MANIFEST]: manifest } = sound
    expect(await fetchOf(await startRegistry({ [MANIFEST]: manifest! }))).toEqual([])
  })
})

describe('https', () => {
  it('is spoken where the site’s CA vouches for the registry', async () => {
    const registry = await startRegistry(sound, tls)
    const isInsecure = async () => false
    const certsDirectory = certsOf(registry)
    expect(await fetchOf(registry, { isInsecure, certsDirectory })).toEqual([signature])
  })

  it('is refused where nobody does', async () => {
    const registry = await startRegistry(sound, tls)
    await expect(fetchOf(registry, { isInsecure: async () => false })).rejects.toMatchObject({
      code: 'HW_REGISTRY_DOWN',
      message: `the registry "${registry.host}" does not answer: "self-signed certificate"`,
    })
    expect(registry.asked).toEqual([])
  })

  it('is refused where the certificate lies there by another name than a CA’s, or for another host', async () => {
    const registry = await startRegistry(sound, tls)
    const isInsecure = async () => false
    for (const certsDirectory of [
      certsOf(registry, 'client.cert'),
      certsOf({ ...registry, host: '127.0.0.1' }),
      certsOf({ ...registry, host: 'registry.example.org' }),
    ])
      await expect(fetchOf(registry, { isInsecure, certsDirectory })).rejects.toMatchObject({
        code: 'HW_REGISTRY_DOWN',
      })
  })

  it('is spoken with anybody where the engine calls the registry insecure', async () => {
    expect(await fetchOf(await startRegistry(sound, tls))).toEqual([signature])
  })

  it('is all that a secure registry is asked by', async () => {
    const registry = await startRegistry(sound)
    const asked: string[] = []
    const isInsecure = async (host: string) => {
      asked.push(host)
      return false
    }
    await expect(fetchOf(registry, { isInsecure })).rejects.toMatchObject({
      code: 'HW_REGISTRY_DOWN',
    })
    expect(registry.asked).toEqual([])
    expect(asked).toEqual([registry.host])
  })

  it('is not left for http because of an answer', async () => {
    const registry = await startRegistry({ [MANIFEST]: send('', 500) }, tls)
    await expect(fetchOf(registry)).rejects.toMatchObject({ code: 'HW_PULL_FAILED' })
    expect(registry.lines()).toEqual([`GET ${MANIFEST}`])
  })
})

describe('a registry that cannot tell', () => {
  it.each([
    [401, 'HW_REGISTRY_AUTH'],
    [403, 'HW_REGISTRY_AUTH'],
    [302, 'HW_PULL_FAILED'],
    [204, 'HW_PULL_FAILED'],
    [429, 'HW_PULL_FAILED'],
    [500, 'HW_PULL_FAILED'],
  ])('by status %i is %s, for the manifest as for a payload', async (status, code) => {
    const manifest = await startRegistry({ ...sound, [MANIFEST]: send('', status) })
    await expect(fetchOf(manifest)).rejects.toMatchObject({ code })
    const blob = await startRegistry({ ...sound, [blobPath(signature.digest)]: send('', status) })
    await expect(fetchOf(blob)).rejects.toMatchObject({ code })
  })

  it('is down where nothing listens', async () => {
    const registry = await startRegistry(sound)
    registry.stop()
    await expect(fetchOf(registry)).rejects.toMatchObject({ code: 'HW_REGISTRY_DOWN' })
  })

  it('is down where it speaks something else', async () => {
    const server = createServer((socket) => socket.on('error', () => undefined).end('220 mail\r\n'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const { port } = server.address() as { port: number }
    const registry = await startRegistry({})
    const name = `127.0.0.1:${port}/atlas/box`
    const mail = { ...registry, ref: { ...registry.ref, name } }
    await expect(fetchOf(mail)).rejects.toMatchObject({ code: 'HW_REGISTRY_DOWN' })
  })
})

describe('a token', () => {
  /** Answers only those who show the token. */
  const guarded = (challenge: () => string, token = 'anybody', answers = sound): Answers =>
    Object.fromEntries(
      Object.entries(answers).map(([path, answer]) => [
        path,
        (response, request) => {
          if (request.headers.authorization === `Bearer ${token}`) answer(response, request)
          else send('', 401, { 'www-authenticate': challenge() })(response)
        },
      ]),
    )
  const bearer = (realm: string) => `Bearer realm="${realm}",service="reg.example",scope="admin:*"`

  it('is asked for at the first 401, for this repository alone, and shown from then on', async () => {
    const tokens = await startRegistry({ '/token': send('{"token":"anybody"}') })
    const challenge = () => bearer(`http://${tokens.host}/token?account=x`)
    const registry = await startRegistry(guarded(challenge))
    expect(await fetchOf(registry)).toEqual([signature])
    expect(tokens.asked).toEqual([
      {
        line: 'GET /token?account=x&service=reg.example&scope=repository%3Aatlas%2Fbox%3Apull',
        authorization: undefined,
      },
    ])
    expect(registry.asked.map(({ authorization }) => authorization)).toEqual([
      undefined,
      'Bearer anybody',
      'Bearer anybody',
    ])
  })

  it('may be called access_token', async () => {
    const tokens = await startRegistry({ '/token': send('{"access_token":"anybody"}') })
    const registry = await startRegistry(guarded(() => bearer(`http://${tokens.host}/token`)))
    expect(await fetchOf(registry)).toEqual([signature])
  })

  it.each([
    ['none', '{}'],
    ['no text', '{"token":5}'],
    ['one with a line end', '{"token":"a\\r\\nX-Evil: 1"}'],
    ['an empty one', '{"token":""}'],
    ['one of some length', JSON.stringify({ token: 'x'.repeat(20_000) })],
    [
      'one in an answer of some length',
      JSON.stringify({ token: 'anybody', x: 'x'.repeat(70_000) }),
    ],
    ['no JSON', 'anybody'],
  ])('server that gives %s gives no access', async (_name, answer) => {
    const tokens = await startRegistry({ '/token': send(answer) })
    const registry = await startRegistry(guarded(() => bearer(`http://${tokens.host}/token`)))
    await expect(fetchOf(registry)).rejects.toMatchObject({ code: 'HW_REGISTRY_AUTH' })
    expect(registry.asked).toHaveLength(1)
  })

  it.each([401, 403, 404, 500, 302])('server that answers %i gives no access', async (status) => {
    const tokens = await startRegistry({ '/token': send('{"token":"anybody"}', status) })
    const registry = await startRegistry(guarded(() => bearer(`http://${tokens.host}/token`)))
    await expect(fetchOf(registry)).rejects.toMatchObject({ code: 'HW_REGISTRY_AUTH' })
  })

  it('that is not taken is not asked for again', async () => {
    const tokens = await startRegistry({ '/token': send('{"token":"anybody"}') })
    const challenge = () => bearer(`http://${tokens.host}/token`)
    const registry = await startRegistry(guarded(challenge, 'somebody'))
    await expect(fetchOf(registry)).rejects.toMatchObject({ code: 'HW_REGISTRY_AUTH' })
    expect([tokens.asked.length, registry.asked.length]).toEqual([1, 2])
  })

  it('that is not taken for the payloads is not asked for again either', async () => {
    const tokens = await startRegistry({ '/token': send('{"token":"anybody"}') })
    const challenge = () => bearer(`http://${tokens.host}/token`)
    const other = signDigest(DIGEST, generateKeyPairSync('ed25519').privateKey)
    const denies = send('', 401, { 'www-authenticate': challenge() })
    const answers = { ...guarded(challenge), [blobPath(signature.digest)]: denies }
    const registry = await startRegistry({ ...answers, [blobPath(other.digest)]: denies })
    await expect(fetchOf(registry)).rejects.toMatchObject({ code: 'HW_REGISTRY_AUTH' })
    expect(tokens.asked).toHaveLength(1)
  })

  it.each([
    ['a password instead', 'Basic realm="world"'],
    ['nothing', ''],
    ['no realm', 'Bearer service="x"'],
    ['a realm that is no address', 'Bearer realm="token"'],
    ['a file', bearer('file:///etc/passwd')],
    ['words for a password', bearer('http://user:secret@127.0.0.1/token')],
  ])('is not asked for where the registry wants %s', async (_name, challenge) => {
    const registry = await startRegistry(guarded(() => challenge))
    await expect(fetchOf(registry)).rejects.toMatchObject({ code: 'HW_REGISTRY_AUTH' })
  })

  it('is not asked for over http where the registry is asked over https', async () => {
    const tokens = await startRegistry({ '/token': send('{"token":"anybody"}') })
    const registry = await startRegistry(
      guarded(() => bearer(`http://${tokens.host}/token`)),
      tls,
    )
    await expect(fetchOf(registry)).rejects.toMatchObject({ code: 'HW_REGISTRY_AUTH' })
    expect(tokens.asked).toEqual([])
  })

  it('is not shown to the host that a payload is fetched from', async () => {
    const tokens = await startRegistry({ '/token': send('{"token":"anybody"}') })
    const storage = await startRegistry({ '/blob': send(signature.payload) })
    const blob = blobPath(signature.digest)
    const answers = { ...sound, [blob]: redirect(`http://${storage.host}/blob`) }
    const challenge = () => bearer(`http://${tokens.host}/token`)
    const registry = await startRegistry(guarded(challenge, 'anybody', answers))
    expect(await fetchOf(registry)).toEqual([signature])
    expect(storage.asked).toEqual([{ line: 'GET /blob', authorization: undefined }])
  })
})

describe('a redirect', () => {
  const blob = blobPath(signature.digest)

  it.each([301, 302, 303, 307, 308])('%i of a payload is followed', async (status) => {
    const answers = { ...sound, [blob]: redirect('/elsewhere', status) }
    const registry = await startRegistry({ ...answers, '/elsewhere': send(signature.payload) })
    expect(await fetchOf(registry)).toEqual([signature])
  })

  it('is followed three times, and not four', async () => {
    const chain = (length: number): Answers => ({
      ...sound,
      [blob]: redirect('/1'),
      ...Object.fromEntries(
        Array.from({ length }, (_, index) => [`/${index + 1}`, redirect(`/${index + 2}`)]),
      ),
      [`/${length + 1}`]: send(signature.payload),
    })
    expect(await fetchOf(await startRegistry(chain(2)))).toEqual([signature])
    await expect(fetchOf(await startRegistry(chain(3)))).rejects.toMatchObject({
      code: 'HW_PULL_FAILED',
      message: expect.stringContaining('redirects more than 3 times') as string,
    })
  })

  it('of the manifest is not followed', async () => {
    const registry = await startRegistry({ ...sound, [MANIFEST]: redirect('/elsewhere') })
    await expect(fetchOf(registry)).rejects.toMatchObject({ code: 'HW_PULL_FAILED' })
    expect(registry.lines()).toEqual([`GET ${MANIFEST}`])
  })

  it('from https to http is not followed', async () => {
    const storage = await startRegistry({ '/blob': send(signature.payload) })
    const answers = { ...sound, [blob]: redirect(`http://${storage.host}/blob`) }
    const registry = await startRegistry(answers, tls)
    await expect(fetchOf(registry)).rejects.toMatchObject({ code: 'HW_PULL_FAILED' })
    expect(storage.asked).toEqual([])
  })

  it('to another host over https asks that host for its own certificate', async () => {
    const storage = await startRegistry({ '/blob': send(signature.payload) }, tls)
    const answers = { ...sound, [blob]: redirect(`https://${storage.host}/blob`) }
    const registry = await startRegistry(answers)
    await expect(fetchOf(registry)).rejects.toMatchObject({ code: 'HW_REGISTRY_DOWN' })
    const certsDirectory = certsOf(storage)
    expect(await fetchOf(registry, { certsDirectory })).toEqual([signature])
  })

  it.each(['file:///etc/passwd', 'http://user:secret@127.0.0.1/', 'http://[', 'ftp://127.0.0.1/'])(
    'to %s is not followed',
    async (location) => {
      const registry = await startRegistry({ ...sound, [blob]: redirect(location) })
      await expect(fetchOf(registry)).rejects.toMatchObject({ code: 'HW_PULL_FAILED' })
    },
  )
})
