// The container engine in our words. docker-engine.ts speaks to a real one; nothing else knows dockerode or a status code.
import type { Duplex } from 'node:stream'
import type { ContainerId, RunId } from '../base/ids.js'
import type { ImageRef } from '../plan/image-ref.js'
import type { UlimitRequest } from '../wire/run-api.js'

export interface EngineFacts {
  /** "docker" or "podman" */
  readonly name: string
  readonly version: string
  readonly apiVersion: string
  /** "cgroupfs", "systemd" or "none" */
  readonly cgroupDriver: string
  readonly cgroupVersion: number
  /** What images must be made for, e.g. "linux/amd64". */
  readonly platform: string
  /** Which registries it speaks to without TLS. */
  readonly registries: {
    /** By host, or host:port. */
    readonly isSecure: Readonly<Record<string, boolean>>
    /** Ranges of addresses, "127.0.0.0/8". */
    readonly insecureRanges: readonly string[]
  }
}

/** An image on this node, resolved once: containers are created from `id`, never from the name. */
export interface ImageFacts {
  /** "sha256:…" of the image's configuration */
  readonly id: string
  /** "sha256:…" of the manifest in the registry it came from; undefined for a local image */
  readonly digest: string | undefined
  /** Every such digest under the name that was asked for: an index's and its platform's, say. `digest` is one of them. */
  readonly namedDigests: readonly string[]
  /** Every digest that the engine knows this content by, under any name; its id is one. */
  readonly digests: readonly string[]
  readonly entrypoint: readonly string[]
  readonly command: readonly string[]
  readonly workdir: string
  /** e.g. "linux/amd64" */
  readonly platform: string
  readonly sizeBytes: number
}

export interface ListedImage {
  /** "busybox:1.36"; an untagged image has none and is not listed */
  readonly name: string
  readonly id: string
  readonly digest: string | undefined
  readonly namedDigests: readonly string[]
  readonly digests: readonly string[]
  readonly sizeBytes: number
}

export interface PullProgress {
  readonly status: string
  readonly current?: number
  readonly total?: number
}

export interface BindMount {
  readonly kind: 'bind'
  readonly source: string
  readonly target: string
  readonly readOnly: boolean
  /** `rslave` passes later mounts of the host on (autofs below /cvmfs). */
  readonly propagation: 'rprivate' | 'rslave'
}

export interface TmpfsSpec {
  readonly kind: 'tmpfs'
  readonly target: string
  readonly sizeBytes: number | undefined
  readonly mode: number | undefined
}

/** All that a container of ours can be; create-options.ts translates it field by field. */
export interface ContainerSpec {
  readonly name: string
  readonly imageId: string
  /** The whole argv; the image's entrypoint and command are already in it. */
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
  readonly tty: boolean
  readonly interactive: boolean
  readonly network: 'host' | 'none'
  readonly readOnlyRootfs: boolean
  /** Paths of device nodes, on the node and in the container alike. */
  readonly devices: readonly string[]
  readonly shmSizeBytes: number | undefined
  readonly ulimits: readonly UlimitRequest[]
  readonly mounts: readonly (BindMount | TmpfsSpec)[]
  /** An OCI runtime that the engine knows; empty: its default. */
  readonly runtime: string
}

export interface OwnContainer {
  readonly id: ContainerId
  readonly runId: RunId
  readonly running: boolean
}

export interface Engine {
  facts(): Promise<EngineFacts>
  /** The image under this name on this node, or undefined. */
  findImage(ref: ImageRef): Promise<ImageFacts | undefined>
  pullImage(
    ref: ImageRef,
    onProgress: (progress: PullProgress) => void,
    signal: AbortSignal,
  ): Promise<void>
  listImages(): Promise<readonly ListedImage[]>
  /** Imports a root file system tar as an image; for doctor's probe. */
  importImage(tar: Buffer, ref: ImageRef): Promise<void>
  /** Takes the name away, and the image with its last name; absent is success. */
  removeImage(ref: ImageRef): Promise<void>
  create(spec: ContainerSpec): Promise<ContainerId>
  /** The container's stdio; framed unless it has a tty. Attach before start. */
  attach(id: ContainerId, stdin: boolean): Promise<Duplex>
  start(id: ContainerId): Promise<void>
  /** Resolves with the engine's exit status once the container has stopped. */
  wait(id: ContainerId): Promise<number>
  resize(id: ContainerId, rows: number, columns: number): Promise<void>
  kill(id: ContainerId, signal: string): Promise<void>
  /** Removes the container by force, with its anonymous volumes; absent is success. */
  remove(id: ContainerId | string): Promise<void>
  /** Containers that carry our labels for this node and our name, running or not. */
  listOwn(): Promise<readonly OwnContainer[]>
}
