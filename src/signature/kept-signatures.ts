// Signatures that were good once, on disk, so that a signed image runs while its registry is down: a file for each
// repository, digest and key. Nothing that is read here is trusted; whoever asks verifies it again.
import { createHash, randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fieldOf, isLayer, parseJson, type Signature } from './cosign.js'
import type { PublicKey } from './public-key.js'

export interface KeptSignatures {
  /** What was kept of this image for this key; undefined for nothing, and for whatever is not a signature. */
  find(image: KeptImage, key: PublicKey): Signature | undefined
  keep(image: KeptImage, key: PublicKey, signature: Signature): void
}

export interface KeptImage {
  /** "docker.io/library/busybox" */
  readonly repository: string
  readonly digest: string
}

const MAX_FILES = 1000
/** A payload of the largest size in base64, its signature, and what stands around them. */
const MAX_FILE_BYTES = 100 * 1024

/** Keeps at most `maxFiles`; the oldest go. */
export function openKeptSignatures(directory: string, maxFiles = MAX_FILES): KeptSignatures {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  for (const name of readdirSync(directory).filter(isTemporary))
    // of a daemon that died
    rmSync(join(directory, name), { force: true })
  return {
    find: (image, key) => read(join(directory, fileName(image, key))),
    keep: (image, key, signature) => {
      write(directory, fileName(image, key), signature)
      removeOldest(directory, maxFiles)
    },
  }
}

const isTemporary = (name: string) => name.startsWith('.')

const fileName = ({ repository, digest }: KeptImage, { fingerprint }: PublicKey): string => {
  const image = createHash('sha256').update(`${repository}@${digest}`).digest('hex')
  return `${image}-${fingerprint}.json`
}

function read(path: string): Signature | undefined {
  const bytes = readBounded(path)
  if (bytes === undefined) return undefined
  const kept = parseJson(bytes)
  const [digest, signature, payload] = ['digest', 'signature', 'payload'].map((name) =>
    fieldOf(kept, name),
  )
  if (!isLayer({ digest, signature }) || typeof payload !== 'string') return undefined
  return {
    digest: digest as string,
    signature: signature as string,
    payload: Buffer.from(payload, 'base64'),
  }
}

function readBounded(path: string): Buffer | undefined {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch {
    return undefined
  }
  try {
    const stats = fstatSync(fd)
    return stats.isFile() && stats.size <= MAX_FILE_BYTES ? readFileSync(fd) : undefined
  } catch {
    return undefined
  } finally {
    closeSync(fd)
  }
}

function write(directory: string, name: string, { digest, signature, payload }: Signature): void {
  const temporary = join(directory, `.${randomBytes(8).toString('hex')}`)
  const text = JSON.stringify({ digest, signature, payload: payload.toString('base64') })
  try {
    writeFileSync(temporary, text, { flag: 'wx', mode: 0o600 })
    renameSync(temporary, join(directory, name))
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
}

function removeOldest(directory: string, maxFiles: number): void {
  const paths = readdirSync(directory).map((name) => join(directory, name))
  if (paths.length <= maxFiles) return
  const aged = paths.map((path) => ({ path, age: statSync(path).mtimeMs }))
  aged.sort((a, b) => a.age - b.age)
  for (const { path } of aged.slice(0, aged.length - maxFiles)) rmSync(path, { force: true })
}
