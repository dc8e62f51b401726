// The keys that a site trusts: PEM files of the administrator, as cosign writes them (cosign.pub). Judged at start, so
// that no run finds out that a key is none.
import { createHash, createPublicKey, type AsymmetricKeyDetails, type KeyObject } from 'node:crypto'
import { HepwrapError, quote } from '../base/errors.js'
import { readGuardedFile, type Guard } from '../config/guarded-file.js'

export interface PublicKey {
  readonly path: string
  /** SHA-256 of its DER form (SPKI), in hex: what `openssl pkey -pubin -outform DER | sha256sum` says. */
  readonly fingerprint: string
  readonly key: KeyObject
  /** The hashes that cosign signs by with such a key; null where the algorithm has its own. */
  readonly hashes: readonly (string | null)[]
}

const MIN_RSA_BITS = 2048
const MIN_RSA_EXPONENT = 65_537n
const LABEL = /-----BEGIN ([A-Z0-9 ]*)-----/g
const PUBLIC_KEY =
  /^\s*-----BEGIN PUBLIC KEY-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END PUBLIC KEY-----\s*$/

/** The key of a file that nobody but root can have written; throws HW_CONFIG_INVALID. */
export function readPublicKey(path: string, guard?: Guard): PublicKey {
  return parsePublicKey(readGuardedFile(path, guard), path)
}

/** One public key of an algorithm that cosign signs with; throws HW_CONFIG_INVALID with the path for anything else. */
export function parsePublicKey(pem: string, path: string): PublicKey {
  const der = parsePem(pem, path)
  const key = parseDer(der, path)
  const hashes = hashesOf(key, path)
  return { path, fingerprint: createHash('sha256').update(der).digest('hex'), key, hashes }
}

function parsePem(pem: string, path: string): Buffer {
  const labels = Array.from(pem.matchAll(LABEL), ([, label]) => label ?? '')
  if (labels.some((label) => label.includes('PRIVATE KEY')))
    throw invalid(path, 'holds a private key; the public one is meant, and the other belongs away')
  if (labels.includes('CERTIFICATE'))
    throw invalid(path, 'holds a certificate; its public key alone is meant')
  if (labels.length > 1)
    throw invalid(path, `holds ${labels.length} keys; one file a key, and every file in the list`)
  const [, base64 = ''] = PUBLIC_KEY.exec(pem) ?? []
  if (base64 === '') throw invalid(path, 'is not a public key in PEM form ("BEGIN PUBLIC KEY")')
  return Buffer.from(base64, 'base64')
}

function parseDer(der: Buffer, path: string): KeyObject {
  try {
    const key = createPublicKey({ key: der, format: 'der', type: 'spki' })
    if (key.export({ format: 'der', type: 'spki' }).equals(der)) return key
  } catch (error) {
    throw invalid(path, 'holds no public key that can be read', error)
  }
  throw invalid(path, 'holds more than a public key')
}

// Cosign hashes with SHA-256; newer ones take SHA-384 for a key on P-384. Its Ed25519ph, which it takes where it also
// writes to a transparency log, is none of Node's algorithms: such signatures do not verify here.
function hashesOf(key: KeyObject, path: string): readonly (string | null)[] {
  const { asymmetricKeyType: type = 'unknown', asymmetricKeyDetails: details = {} } = key
  if (type === 'ed25519') return [null]
  if (type === 'ec') return curveHashes(details, path)
  if (type === 'rsa') return rsaHashes(details, path)
  const accepted = 'ECDSA (P-256, P-384), Ed25519 and RSA are accepted'
  throw invalid(path, `is a key of type ${type}; ${accepted}`)
}

function curveHashes({ namedCurve = 'of its own' }: AsymmetricKeyDetails, path: string) {
  if (namedCurve === 'prime256v1') return ['sha256']
  if (namedCurve === 'secp384r1') return ['sha256', 'sha384']
  throw invalid(path, `is a key on the curve ${namedCurve}; P-256 and P-384 are accepted`)
}

function rsaHashes(details: AsymmetricKeyDetails, path: string) {
  const { modulusLength = 0, publicExponent = 0n } = details
  if (modulusLength < MIN_RSA_BITS)
    throw invalid(path, `is an RSA key of ${modulusLength} bits; ${MIN_RSA_BITS} are the least`)
  if (publicExponent < MIN_RSA_EXPONENT || publicExponent % 2n === 0n)
    throw invalid(path, `is an RSA key with the exponent ${publicExponent.toString()}`)
  return ['sha256']
}

const invalid = (path: string, what: string, cause?: unknown) =>
  new HepwrapError('HW_CONFIG_INVALID', `${quote(path)} ${what}`, { cause })
