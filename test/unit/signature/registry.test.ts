// What is asked of a registry, in which order, and what is made of its answers. What a hostile one does: hostile-registry.test.ts
import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { signDigest } from '../../support/cosign-signature.js'
import { selfSigned } from '../../support/self-signed.js'
import {
  answersOf,
  blobPath,
  DIGEST,
  MANIFEST,
  fetchOf,
  redirect,
  send,
  signature,
  sound,
  startRegistry,
  type Answers,
  type FakeRegistry,
} from './fake-registry.js'

const tls = selfSigned()

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
