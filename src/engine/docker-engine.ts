// The Docker Engine API through dockerode, as Docker and Podman speak it. Every answer is translated here; nothing of dockerode's
// leaves the room.
import { Duplex } from 'node:stream'
import Docker from 'dockerode'
import { isRunId, OUR_PREFIX, type ContainerId } from '../base/ids.js'
import { HepwrapError } from '../base/errors.js'
import { within } from '../base/within.js'
import { pullName } from '../plan/image-ref.js'
import { requireOrdinaryAccounts } from './account-files.js'
import { asBody, createOptions } from './create-options.js'
import type { Dialect } from './dialect.js'
import { findImage, importImage, listImages, pullImage, removeImage } from './docker-images.js'
import { engineError, isNotFound } from './engine-errors.js'
import type { Engine, EngineFacts, OwnContainer } from './engine.js'
import { createPodman } from './podman.js'

export const RUN_LABEL = 'hepwrap.run'
export const NODE_LABEL = 'hepwrap.node'

/** Questions are answered in milliseconds as a rule; removing waits for the container's end. */
const QUESTION_MS = 10_000
const REMOVE_MS = 30_000

export interface DockerEngineOptions {
  readonly socketPath: string
  /** The value of our node label, "cluster/node": what tells our containers from another node's on the same engine. */
  readonly node: string
  /** [node] run_dir */
  readonly runDir: string
  /** How long a question may take; an engine that needs longer is as good as down. */
  readonly questionMs?: number
}

export function createDockerEngine(options: DockerEngineOptions): Engine {
  const { socketPath, node, runDir, questionMs = QUESTION_MS } = options
  const docker = new Docker({ socketPath })
  const container = (id: string) => docker.getContainer(id)
  const ordinary = new Set<string>()
  const dialect = dialectOf(docker, runDir)

  return {
    facts: () => attempt('ask the engine for its version', () => readFacts(docker), questionMs),
    findImage: (ref) =>
      attempt('inspect the image', async () => findImage(docker, ref, await dialect()), questionMs),
    pullImage: (ref, onProgress, signal) => pullImage(docker, ref, onProgress, signal),
    listImages: () =>
      attempt('list the images', async () => listImages(docker, await dialect()), questionMs),
    importImage: (tar, ref) =>
      attempt(
        'import an image',
        async () => (await dialect()).importImage(docker, tar, pullName(ref)),
        REMOVE_MS,
      ),
    removeImage: (ref) => attempt('remove an image', () => removeImage(docker, ref), REMOVE_MS),
    create: (spec) =>
      attempt('create the container', async () => {
        await requireOrdinaryAccounts(docker, spec, ordinary)
        return (await (await dialect()).create(docker, spec)) as ContainerId
      }),
    attach: (id, stdin) =>
      attempt('attach to the container', async () => {
        const stream = await openStdio(docker, id, stdin)
        if (stream instanceof Duplex) return stream
        throw new Error('the engine did not hand over the connection')
      }),
    start: (id) =>
      attempt('start the container', async () => {
        await container(id).start()
      }),
    wait: (id) =>
      attempt('wait for the container', async () => {
        return ((await container(id).wait()) as { StatusCode: number }).StatusCode
      }),
    resize: (id, rows, columns) =>
      attempt('resize the terminal', async () => {
        await container(id).resize({ h: rows, w: columns })
      }),
    kill: (id, signal) =>
      attempt('signal the container', async () => {
        await container(id).kill({ signal })
      }),
    remove: (id) => attempt('remove the container', () => remove(docker, id), REMOVE_MS),
    listOwn: () => attempt('list our containers', () => listOwn(docker, node), questionMs),
  }
}

/** As dockerode's own attach, but for the body: its is a copy of the address, and what is in the body is stdin to Podman. */
const openStdio = (docker: Docker, id: string, stdin: boolean): Promise<unknown> =>
  new Promise((resolve, reject) => {
    docker.modem.dial(
      {
        path: `/containers/${id}/attach?`,
        options: { _query: { stream: true, stdin, stdout: true, stderr: true } },
        method: 'POST',
        file: Buffer.alloc(0),
        hijack: true,
        isStream: true,
        statusCodes: { 200: true, 404: 'no such container', 500: 'server error' },
      },
      (error, stream) => {
        if (error === null) resolve(stream)
        else reject(error)
      },
    )
  })

/** `waitMs`: an engine that hangs must not hold what waits for it; undefined where the answer may take any time. */
async function attempt<T>(what: string, action: () => Promise<T>, waitMs?: number): Promise<T> {
  try {
    return await (waitMs === undefined ? action() : within(waitMs, action(), () => silent(waitMs)))
  } catch (thrown) {
    throw engineError(what, thrown)
  }
}

const silent = (waitMs: number) =>
  new HepwrapError(
    'HW_ENGINE_DOWN',
    `the container engine did not answer within ${waitMs / 1000} s`,
  )

const DOCKER: Dialect = {
  name: 'docker',
  create: async (docker, spec) => (await docker.createContainer(asBody(createOptions(spec)))).id,
  importImage,
  repoDigests: ({ RepoDigests }) => RepoDigests ?? [],
}

/** By the engine's own answer, once: another engine behind the same socket needs another start of the daemon. */
function dialectOf(docker: Docker, runDir: string): () => Promise<Dialect> {
  let known: Dialect | undefined
  return async () => (known ??= isPodman(await docker.version()) ? createPodman(runDir) : DOCKER)
}

const isPodman = ({ Components }: RawVersion): boolean =>
  Components?.some(({ Name }) => Name.startsWith('Podman')) ?? false

interface RawVersion {
  readonly Version: string
  readonly ApiVersion: string
  readonly Os: string
  readonly Arch: string
  readonly Components?: readonly { readonly Name: string }[]
}
interface RawInfo {
  readonly CgroupDriver?: string
  readonly CgroupVersion?: string
  readonly RegistryConfig?: {
    readonly IndexConfigs?: Readonly<Record<string, { readonly Secure?: boolean }>> | null
    readonly InsecureRegistryCIDRs?: readonly string[] | null
  } | null
}

async function readFacts(docker: Docker): Promise<EngineFacts> {
  const [version, info] = (await Promise.all([docker.version(), docker.info()])) as [
    RawVersion,
    RawInfo,
  ]
  return {
    name: isPodman(version) ? 'podman' : 'docker',
    version: version.Version,
    apiVersion: version.ApiVersion,
    cgroupDriver: info.CgroupDriver ?? 'none',
    cgroupVersion: Number(info.CgroupVersion ?? '1'),
    platform: `${version.Os}/${version.Arch}`,
    registries: registriesOf(info),
  }
}

const registriesOf = ({ RegistryConfig }: RawInfo): EngineFacts['registries'] => ({
  isSecure: Object.fromEntries(
    Object.entries(RegistryConfig?.IndexConfigs ?? {}).map(([host, { Secure }]) => [
      host,
      Secure !== false,
    ]),
  ),
  insecureRanges: RegistryConfig?.InsecureRegistryCIDRs ?? [],
})

async function remove(docker: Docker, id: string): Promise<void> {
  try {
    await docker.getContainer(id).remove({ force: true, v: true })
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown
  }
}

/** By labels and by name: an image may carry any label, and whatever runs of it on this engine inherits it. */
async function listOwn(docker: Docker, node: string): Promise<readonly OwnContainer[]> {
  const containers = await docker.listContainers({
    all: true,
    filters: { label: [RUN_LABEL, `${NODE_LABEL}=${node}`] },
  })
  return containers.flatMap(({ Id, Names, Labels, State }) => {
    const labels = Labels as Readonly<Record<string, string>> | null
    const runId = labels?.[RUN_LABEL] ?? ''
    const isOurs =
      isRunId(runId) && labels?.[NODE_LABEL] === node && Names.includes(`/${OUR_PREFIX}${runId}`)
    return isOurs ? [{ id: Id as ContainerId, runId, running: State === 'running' }] : []
  })
}
