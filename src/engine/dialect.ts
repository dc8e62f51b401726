// Where engines differ under Docker's API: one object an engine. Docker's is in docker-engine.ts, Podman's in podman.ts.
import type Docker from 'dockerode'
import type { ContainerSpec } from './engine.js'

export interface Dialect {
  readonly name: 'docker' | 'podman'
  /** Resolves with the container's id. */
  readonly create: (docker: Docker, spec: ContainerSpec) => Promise<string>
  /** Makes an image of a root file system tar; `name` is in full, with its tag. */
  readonly importImage: (docker: Docker, tar: Buffer, name: string) => Promise<void>
  /** "name@sha256:…" for each name and each digest that the image has under it. */
  readonly repoDigests: (image: NamedImage) => readonly string[]
}

export interface NamedImage {
  readonly RepoTags?: readonly string[] | null | undefined
  readonly RepoDigests?: readonly string[] | null | undefined
}
