// Images as no builder would make them: a layer and a configuration written byte by byte and given to `docker load`,
// because docker's own tools refuse to say most of what an attacker's registry may send.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { testEngine } from '../world/engine.js'
import { as, expectSuccess } from '../world/world.js'

export interface Entry {
  readonly path: string
  readonly type?: keyof typeof TYPES
  readonly mode?: number
  readonly gid?: number
  readonly body?: string | Buffer
  /** where a link leads */
  readonly to?: string
  readonly device?: readonly [number, number]
  /** the bytes of security.capability */
  readonly capability?: Buffer
}

export interface HostileImage {
  readonly base?: 'busybox:test' | 'debian:test'
  /** as in the image's own configuration: Env, Volumes, WorkingDir … */
  readonly config?: object
  readonly entries?: readonly Entry[]
  /** so many more layers, of one file each */
  readonly layers?: number
}

const TYPES = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
  extension: 'x',
} as const

/** Gives the engine an image of this name. */
export async function loadImage(name: string, image: HostileImage): Promise<void> {
  const { base = 'busybox:test', config = {}, entries = [], layers = 0 } = image
  const format = '{{range .RootFS.Layers}}{{.}}\n{{end}}'
  const baseLayers = (await docker('image', 'inspect', '--format', format, base)).trim().split('\n')
  const more = Array.from({ length: layers }, (_, index) => tar([{ path: `layer-${index}` }]))
  const own = [...(entries.length > 0 ? [tar(entries)] : []), ...more]
  const ids = [...baseLayers, ...own.map((bytes) => `sha256:${digest(bytes)}`)]
  const settings = {
    architecture: { x64: 'amd64', arm64: 'arm64' }[process.arch as string] ?? process.arch,
    os: 'linux',
    config: { Env: ['PATH=/usr/bin:/bin'], ...config },
    rootfs: { type: 'layers', diff_ids: ids },
  }
  // Docker has the base already and does not ask for its bytes.
  const names = ids.map((_, index) => `${index}.tar`)
  const manifest = [{ Config: 'config.json', RepoTags: [fullName(name)], Layers: names }]
  const archive = tar([
    { path: 'config.json', body: JSON.stringify(settings) },
    { path: 'manifest.json', body: JSON.stringify(manifest) },
    ...(testEngine.name === 'podman' ? [{ path: '0.tar', body: readFileSync(tarOf(base)) }] : []),
    ...own.map((body, index) => ({ path: `${baseLayers.length + index}.tar`, body })),
  ])
  expectSuccess(await as('root').run(['docker', 'load', '--quiet'], { input: archive }))
}

/** Podman's own command completes a short name with localhost. */
const fullName = (name: string) => (name.includes('/') ? name : `docker.io/library/${name}`)

const tarOf = (image: string) => `/var/lib/world/images/${image.split(':')[0]!}.tar`

/** The images, and what was made of them, taken away. */
export async function removeImages(names: readonly string[]): Promise<void> {
  if (names.length > 0) await docker('rmi', '--force', ...names)
}

export async function docker(...args: string[]): Promise<string> {
  return expectSuccess(await as('root').run(['docker', ...args])).stdout
}

const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

/** A tar of the POSIX kind (pax), with an extended header where a capability asks for one. */
function tar(entries: readonly Entry[]): Buffer {
  const end = Buffer.alloc(1024)
  return Buffer.concat([...entries.flatMap(withExtension), end])
}

function withExtension(entry: Entry): Buffer[] {
  if (entry.capability === undefined) return member(entry)
  const record = paxRecord('SCHILY.xattr.security.capability', entry.capability)
  return [...member({ path: 'pax', type: 'extension', body: record }), ...member(entry)]
}

/** "LENGTH KEY=VALUE\n", where the length counts itself. */
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = key.length + value.length + 3
  const length = rest + String(rest + String(rest).length).length
  return Buffer.concat([Buffer.from(`${length} ${key}=`), value, Buffer.from('\n')])
}

function member(entry: Entry): Buffer[] {
  const { path, type = 'file', mode = 0o755, gid = 0, body = '', to = '', device = [0, 0] } = entry
  const content = Buffer.from(body as string)
  const header = Buffer.alloc(512)
  const octal = (value: number, at: number, width: number) =>
    header.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at)
  header.write(path, 0)
  octal(mode, 100, 8)
  octal(0, 108, 8)
  octal(gid, 116, 8)
  octal(content.length, 124, 12)
  octal(0, 136, 12)
  header.write('        ', 148) // the checksum is taken with blanks in its place
  header.write(TYPES[type], 156)
  header.write(to, 157)
  header.write('ustar\x0000', 257)
  octal(device[0], 329, 8)
  octal(device[1], 337, 8)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return [header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]
}
