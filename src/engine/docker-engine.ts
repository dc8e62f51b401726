// The Docker Engine API through dockerode. Every answer is translated here; nothing of dockerode's leaves the room.
import { Duplex } from 'node:stream'
import Docker from 'dockerode'
import { isRunId, OUR_PREFIX, type ContainerId } from '../base/ids.js'
import { HepwrapError } from '../base/errors.js'
import { within } from '../base/within.js'
import { requireOrdinaryAccounts } from './account-files.js'
import { asBody, createOptions } from './create-options.js'
import { findImage, importImage, listImages, pullImage, removeImage } from './docker-images.js'
import { engineError, isNotFound } from './engine-errors.js'
import type { Engine, EngineFacts, OwnContainer } from './engine.js'

export const RUN_LABEL = 'hepwrap.run'
export const NODE_LABEL = 'hepwrap.node'

/** Questions are answered in milliseconds as a rule; removing waits for the container's end. */
const QUESTION_MS = 10_000
const REMOVE_MS = 30_000

export interface DockerEngineOptions {
  readonly socketPath: string
  /** The value of our node label, "cluster/node": what tells our containers from another node's on the same engine. */
  readonly node: string
  /** How long a question may take; an engine that needs longer is as good as down. */
  readonly questionMs?: number
}

export function createDockerEngine(options: DockerEngineOptions): Engine {
  const { socketPath, node, questionMs = QUESTION_MS } = options
  const docker = new Docker({ socketPath })
  const container = (id: string) => docker.getContainer(id)
  const ordinary = new Set<string>()

  return {
    facts: () => attempt('ask the engine for its version', () => readFacts(docker), questionMs),
    findImage: (ref) => attempt('inspect the image', () => findImage(docker, ref), questionMs),
    pullImage: (ref, onProgress, signal) => pullImage(docker, ref, onProgress, signal),
    listImages: () => attempt('list the images', () => listImages(docker), questionMs),
    importImage: (tar, ref) =>
      attempt('import an image', () => importImage(docker, tar, ref), REMOVE_MS),
    removeImage: (ref) => attempt('remove an image', () => removeImage(docker, ref), REMOVE_MS),
    create: (spec) =>
      attempt('create the container', async () => {
        await requireOrdinaryAccounts(docker, spec, ordinary)
        return (await docker.createContainer(asBody(createOptions(spec)))).id as ContainerId
      }),
    attach: (id, stdin) =>
      attempt('attach to the container', async () => {
        const stream = await container(id).attach({
          stream: true,
          stdin,
          stdout: true,
          stderr: true,
          hijack: true,
        })
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
  const isPodman = version.Components?.some(({ Name }) => Name.startsWith('Podman')) ?? false
  return {
    name: isPodman ? 'podman' : 'docker',
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
