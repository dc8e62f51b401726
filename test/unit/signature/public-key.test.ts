import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { HepwrapError } from '../../../src/base/errors.js'
import { parsePublicKey, readPublicKey } from '../../../src/signature/public-key.js'

const PATH = '/etc/hepwrap/keys/atlas.pub'

const pemOf = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }) as string
const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve })
const rsa = (modulusLength: number, publicExponent?: number) =>
  generateKeyPairSync('rsa', {
    modulusLength,
    ...(publicExponent === undefined ? {} : { publicExponent }),
  })
const p256 = ec('P-256')
const CERTIFICATE = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'

const refused = (pem: string): string => {
  try {
    parsePublicKey(pem, PATH)
  } catch (error) {
    expect(error).toBeInstanceOf(HepwrapError)
    expect(error).toHaveProperty('code', 'HW_CONFIG_INVALID')
    const { message } = error as Error
    expect(message.startsWith(`"${PATH}" `)).toBe(true)
    expect(message.split('\n')).toHaveLength(1)
    return message.slice(PATH.length + 3)
  }
  throw new Error(`not refused: ${pem}`)
}

describe('a public key', () => {
  it.each([
    ['P-256', p256.publicKey, ['sha256']],
    ['P-384', ec('P-384').publicKey, ['sha256', 'sha384']],
    ['Ed25519', generateKeyPairSync('ed25519').publicKey, [null]],
    ['RSA 2048', rsa(2048).publicKey, ['sha256']],
    ['RSA 3072', rsa(3072).publicKey, ['sha256']],
  ])('%s is accepted', (_name, key, hashes) => {
    const parsed = parsePublicKey(pemOf(key), PATH)
    const der = key.export({ type: 'spki', format: 'der' })
    const fingerprint = createHash('sha256').update(der).digest('hex')
    expect(parsed).toMatchObject({ path: PATH, fingerprint, hashes })
    expect(parsed.key.equals(key)).toBe(true)
  })

  it('may stand between blank lines, and with the line ends of another system', () => {
    const pem = `\n${pemOf(p256.publicKey).replaceAll('\n', '\r\n')}\n`
    expect(parsePublicKey(pem, PATH).key.equals(p256.publicKey)).toBe(true)
  })
})

describe('what is refused', () => {
  const spki = pemOf(p256.publicKey)
  const privatePem = p256.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  const sec1 = p256.privateKey.export({ type: 'sec1', format: 'pem' }) as string
  const pkcs1 = rsa(2048).publicKey.export({ type: 'pkcs1', format: 'pem' }) as string
  const dsa = generateKeyPairSync('dsa', { modulusLength: 2048, divisorLength: 256 }).publicKey
  const der = p256.publicKey.export({ type: 'spki', format: 'der' })
  const asPem = (bytes: Buffer) =>
    `-----BEGIN PUBLIC KEY-----\n${bytes.toString('base64')}\n-----END PUBLIC KEY-----\n`

  it.each([
    ['a private key', privatePem, 'holds a private key'],
    ['a private key beside the public one', spki + privatePem, 'holds a private key'],
    ['a private key of the older form', sec1, 'holds a private key'],
    [
      'the private key that cosign writes',
      privatePem.replaceAll('PRIVATE KEY', 'ENCRYPTED SIGSTORE PRIVATE KEY'),
      'holds a private key',
    ],
    ['a certificate', CERTIFICATE, 'holds a certificate'],
    ['two keys', spki + spki, 'holds 2 keys'],
    ['nothing', '', 'is not a public key in PEM form'],
    ['words', 'my key', 'is not a public key in PEM form'],
    ['RSA of the older form', pkcs1, 'is not a public key in PEM form'],
    ['text before the key', `# atlas\n${spki}`, 'is not a public key in PEM form'],
    ['text after the key', `${spki}atlas`, 'is not a public key in PEM form'],
    ['no end', spki.replace(/-----END.*/, ''), 'is not a public key in PEM form'],
    ['an empty key', asPem(Buffer.alloc(0)), 'holds no public key that can be read'],
    ['a cut key', asPem(der.subarray(0, 50)), 'holds no public key that can be read'],
    ['a key and more', asPem(Buffer.concat([der, Buffer.from('more')])), 'holds more than a'],
    ['DSA', pemOf(dsa), 'is a key of type dsa'],
    ['X25519', pemOf(generateKeyPairSync('x25519').publicKey), 'is a key of type x25519'],
    ['Ed448', pemOf(generateKeyPairSync('ed448').publicKey), 'is a key of type ed448'],
    [
      'RSA-PSS',
      pemOf(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).publicKey),
      'is a key of type rsa-pss',
    ],
    ['RSA of 1024 bits', pemOf(rsa(1024).publicKey), 'is an RSA key of 1024 bits'],
    ['RSA with exponent 3', pemOf(rsa(2048, 3).publicKey), 'is an RSA key with the exponent 3'],
    ['P-521', pemOf(ec('P-521').publicKey), 'is a key on the curve secp521r1'],
    ['secp256k1', pemOf(ec('secp256k1').publicKey), 'is a key on the curve secp256k1'],
  ])('%s', (_name, pem, message) => {
    expect(refused(pem)).toContain(message)
  })

  it('whatever it is, in one line', () => {
    const bytes = fc.uint8Array({ maxLength: 200 }).map((raw) => asPem(Buffer.from(raw)))
    const texts = fc.oneof(
      fc.string(),
      bytes,
      fc.string().map((text) => `${spki}${text.trim()}x`),
    )
    fc.assert(fc.property(texts, (pem) => void refused(pem)))
  })
})

describe('the file of a key', () => {
  let directory: string
  beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'keys-'))))
  afterEach(() => rmSync(directory, { recursive: true }))

  it('is read where nobody else can write it, and nowhere else', () => {
    const path = join(directory, 'atlas.pub')
    const guard = { ownerUid: process.getuid!(), below: directory }
    writeFileSync(path, pemOf(p256.publicKey), { mode: 0o644 })
    expect(readPublicKey(path, guard).key.equals(p256.publicKey)).toBe(true)
    chmodSync(path, 0o666)
    expect(() => readPublicKey(path, guard)).toThrow(/can be written by others/)
  })
})
