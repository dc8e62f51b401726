// The container engine of this world or machine, as tests reach it beside hepwrap: HEPWRAP_TEST_ENGINE is docker (the default) or
// podman, HEPWRAP_TEST_ENGINE_SOCKET its socket where that is not the usual one. The script cluster sets and starts it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Docker from 'dockerode'
import { as, expectSuccess, type Service } from './world.js'

export interface TestEngine {
  /** What it says that it is, and its command. */
  readonly name: 'docker' | 'podman'
  readonly socketPath: string
  /** See the script service. */
  readonly service: Service
}

const ENGINES: Readonly<Record<string, TestEngine>> = {
  docker: { name: 'docker', socketPath: '/run/docker.sock', service: 'dockerd' },
  podman: { name: 'podman', socketPath: '/run/podman/podman.sock', service: 'podman' },
}

export const testEngine: TestEngine = choose()

function choose(): TestEngine {
  const name = process.env['HEPWRAP_TEST_ENGINE'] ?? 'docker'
  const engine = ENGINES[name]
  if (engine === undefined) throw new Error(`HEPWRAP_TEST_ENGINE is no engine: "${name}"`)
  const socketPath = process.env['HEPWRAP_TEST_ENGINE_SOCKET'] ?? engine.socketPath
  return { ...engine, socketPath }
}

/** Its own command, as root; what it wrote to stdout. Name images in full: Podman's own completes a short name with localhost. */
export const engineCommand = async (...args: string[]): Promise<string> =>
  expectSuccess(await as('root').run([testEngine.name, ...args])).stdout.trim()

/** Pushes to the registry of the world; the digest that it has there. */
export async function pushImage(image: string): Promise<string> {
  await engineCommand('push', '-q', image)
  const [, host, repository, tag] = /^([^/]+)\/(.+):([^:/]+)$/.exec(image)!
  const types = ['docker.distribution.manifest.v2', 'oci.image.manifest.v1']
  const answer = await fetch(`http://${host!}/v2/${repository!}/manifests/${tag!}`, {
    method: 'HEAD',
    headers: { Accept: types.map((type) => `application/vnd.${type}+json`).join(', ') },
  })
  return answer.headers.get('Docker-Content-Digest') ?? ''
}

/** By its API, for the commands differ. */
export async function buildImage(name: string, dockerfile: string): Promise<void> {
  const docker = new Docker({ socketPath: testEngine.socketPath })
  const context = mkdtempSync('/tmp/context-')
  writeFileSync(join(context, 'Dockerfile'), dockerfile)
  try {
    const stream = await docker.buildImage({ context, src: ['Dockerfile'] }, { t: name })
    const told = await new Promise<readonly { error?: string }[]>((resolve, reject) => {
      docker.modem.followProgress(stream, (error, events) =>
        error === null ? resolve(events as { error?: string }[]) : reject(error),
      )
    })
    const failed = told.find(({ error }) => error !== undefined)
    if (failed !== undefined) throw new Error(failed.error)
  } finally {
    rmSync(context, { recursive: true })
  }
}
