// The token that a registry wants to see of anybody: from whom it is asked for, and who gets to see it.
import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { signDigest } from '../../support/cosign-signature.js'
import { selfSigned } from '../../support/self-signed.js'
import {
  blobPath,
  DIGEST,
  fetchOf,
  redirect,
  send,
  signature,
  sound,
  startRegistry,
  type Answers,
} from './fake-registry.js'

const tls = selfSigned()

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

  it('is not asked for by a challenge of some length', async () => {
    const tokens = await startRegistry({ '/token': send('{"token":"anybody"}') })
    const challenge = () => `${bearer(`http://${tokens.host}/token`)},${'a'.repeat(2048)}`
    const registry = await startRegistry(guarded(challenge))
    await expect(fetchOf(registry)).rejects.toMatchObject({
      code: 'HW_REGISTRY_AUTH',
      message: expect.stringContaining('in more than 2048 characters') as string,
    })
    expect(tokens.asked).toEqual([])
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
