// Signatures that were good once, on disk, so that a signed image runs while its registry is down: a file for each
// repository, digest and key. Nothing that is read here is trusted; whoever asks verifies it again.
import { createHash, randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  lstatSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../base/clock.js'
import { fieldOf, isLayer, parseJson, type Signature } from './cosign.js'
import type { PublicKey } from './public-key.js'

export interface KeptSignatures {
  /** What was kept of this image for this key; undefined for nothing, and for whatever is not a signature. */
  find(image: KeptImage, key: PublicKey): Signature | undefined
  /** It was found, and verified. */
  used(image: KeptImage, key: PublicKey): void
  keep(image: KeptImage, key: PublicKey, signature: Signature): void
}

export interface KeptImage {
  /** "docker.io/library/busybox" */
  readonly repository: string
  readonly digest: string
}

const MAX_FILES = 10_000
const WRITE_USE_EVERY_MS = 3_600_000
/** A payload of the largest size in base64, its signature, and what stands around them. */
const MAX_FILE_BYTES = 100 * 1024

/**
 * Keeps at most `maxFiles`; what was used least recently goes, so that somebody who runs many signed images once does not
 * put out those that others run every day. A file's mtime says for the next daemon when it was used, to the hour.
 */
export function openKeptSignatures(
  directory: string,
  clock: Clock,
  maxFiles = MAX_FILES,
): KeptSignatures {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  for (const name of readdirSync(directory).filter(isTemporary))
    // of a daemon that died
    rmSync(join(directory, name), { force: true })
  const writtenMs = readUses(directory)
  const use = (name: string, atMs: number) => {
    writtenMs.delete(name) // the map is in the order of use
    writtenMs.set(name, atMs)
  }
  return {
    find: (image, key) => read(join(directory, fileName(image, key))),
    used: (image, key) => {
      const name = fileName(image, key)
      const nowMs = clock.nowMs()
      const lastMs = writtenMs.get(name) ?? 0
      const isDue = nowMs - lastMs >= WRITE_USE_EVERY_MS
      if (isDue) writeUse(join(directory, name), nowMs)
      use(name, isDue ? nowMs : lastMs)
    },
    keep: (image, key, signature) => {
      const name = fileName(image, key)
      write(directory, name, signature)
      use(name, clock.nowMs())
      for (const old of writtenMs.keys()) {
        if (writtenMs.size <= maxFiles) break
        writtenMs.delete(old)
        rmSync(join(directory, old), { force: true })
      }
    },
  }
}

/** Each file and its mtime, the one that was used least recently first. */
function readUses(directory: string): Map<string, number> {
  const uses = readdirSync(directory).map((name): [string, number] => [
    name,
    lstatSync(join(directory, name), { throwIfNoEntry: false })?.mtimeMs ?? 0,
  ])
  return new Map(uses.sort(([, a], [, b]) => a - b))
}

function writeUse(path: string, atMs: number): void {
  try {
    lutimesSync(path, atMs / 1000, atMs / 1000)
  } catch {
    // only the next daemon would have wanted to know
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
