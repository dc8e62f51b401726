// What any user may ask: his containers, his records, the images he may run.
import { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { FastifyPluginAsync } from 'fastify'
import { Type } from '@sinclair/typebox'
import { HepwrapError, quote } from '../base/errors.js'
import type { ListedImage } from '../engine/engine.js'
import { signalNumber } from '../base/signals.js'
import type { Caller } from '../identity/caller.js'
import { parseImageRef } from '../plan/image-ref.js'
import { mayRunImage, type ImageIdentity } from '../policy/policy.js'
import type { SitePolicy } from '../rules/site-policy.js'
import { placeOf } from '../run/admit.js'
import { siteFor, subjectJob } from '../run/site.js'
import type { LiveRun } from '../run/live-runs.js'
import { KillRequest, StopRequest, type ContainerRow, type ImageRow } from '../wire/job-api.js'
import { RecordsQuery, type UsageRecord } from '../wire/usage-api.js'
import type { Scope } from '../accounting/record.js'
import type { Daemon } from './compose.js'

/** The containers that `ps -a` shows at most, newest first; `hepwrap acct` has all. */
const MAX_ROWS = 1000
const ById = Type.Object({ id: Type.String({ maxLength: 255 }) }) // as long as a --name
const PsQuery = Type.Object(
  { all: Type.Optional(Type.String({ maxLength: 5 })) },
  { additionalProperties: false },
)

const scopeOf = ({ uid }: Caller): Scope => ({ uid: uid === 0 ? undefined : uid })

export const userRoutes =
  (daemon: Daemon): FastifyPluginAsync =>
  async (app) => {
    app.get<{ Querystring: { all?: string } }>(
      '/v1/containers',
      { schema: { querystring: PsQuery } },
      async ({ caller, query }) => listContainers(caller, query.all === 'true', daemon),
    )
    app.post<{ Params: { id: string }; Body: StopRequest }>(
      '/v1/containers/:id/stop',
      { schema: { params: ById, body: StopRequest } },
      async ({ caller, params, body }) => {
        const run = findOwn(caller, params.id, daemon)
        const seconds = body.timeout_s ?? daemon.config.node.stop_timeout_s
        run.end({ code: 'HW_STOPPED', message: 'ended by hepwrap stop', graceMs: seconds * 1000 })
        await run.ended
        return { id: run.runId }
      },
    )
    app.post<{ Params: { id: string }; Body: KillRequest }>(
      '/v1/containers/:id/kill',
      { schema: { params: ById, body: KillRequest } },
      async ({ caller, params, body }) => {
        const name = body.signal ?? 'SIGKILL'
        const signal = signalNumber(name)
        if (signal === undefined)
          throw new HepwrapError('HW_OPTION_INVALID', `there is no signal ${quote(name)}`)
        const run = findOwn(caller, params.id, daemon)
        run.forward(signal)
        return { id: run.runId }
      },
    )
    app.get('/v1/images', async ({ caller }): Promise<readonly ImageRow[]> =>
      listImages(await siteOf(caller, daemon), daemon),
    )
    app.get<{ Querystring: RecordsQuery }>(
      '/v1/records',
      { schema: { querystring: RecordsQuery } },
      async ({ caller, query }, reply) => {
        const pages = daemon.ledger.read(query, scopeOf(caller)) // refuses a bad filter before the reply begins
        return reply.type('application/x-ndjson').send(Readable.from(lines(pages)))
      },
    )
  }

/** A turn of the event loop between two pages: a long ledger must not keep everybody else waiting. */
async function* lines(pages: Iterable<readonly UsageRecord[]>): AsyncIterable<string> {
  for (const page of pages) {
    if (page.length > 0) yield page.map((record) => `${JSON.stringify(record)}\n`).join('')
    await nextTurn()
  }
}

function listContainers(caller: Caller, all: boolean, { ledger }: Daemon): readonly ContainerRow[] {
  return ledger.newest(scopeOf(caller), all ? MAX_ROWS : 'running').map((record) => ({
    id: record.id,
    name: record.name,
    user: record.user,
    uid: record.uid,
    job_id: record.job_id,
    step_id: record.step_id,
    image: record.image,
    command: record.command,
    state: record.state,
    created_at: record.created_at,
    started_at: record.started_at,
    ended_at: record.ended_at,
    exit_code: record.exit_code,
  }))
}

/** A live run by its id, an unambiguous prefix of it, or its --name. Another user's is as absent as one that never was. */
function findOwn(caller: Caller, wanted: string, { live, ledger }: Daemon): LiveRun {
  const mine = live.all().filter((run) => caller.uid === 0 || run.caller.uid === caller.uid)
  const byId = /^[0-9a-f]{4,32}$/.test(wanted)
    ? mine.filter((run) => run.runId.startsWith(wanted))
    : []
  const found =
    byId.length > 0 || wanted === '' ? byId : mine.filter((run) => nameOf(run, ledger) === wanted)
  const [run, another] = found
  if (run === undefined)
    throw new HepwrapError(
      'HW_NOT_FOUND',
      `you have no running container ${quote(wanted)} on this node`,
    )
  if (another !== undefined)
    throw new HepwrapError(
      'HW_NOT_FOUND',
      `${quote(wanted)} means ${found.length} containers; write more of the id`,
    )
  return run
}

const nameOf = (run: LiveRun, ledger: Daemon['ledger']): string | null =>
  ledger.findByPrefix(run.runId, { uid: undefined }, 1)[0]?.name ?? null

/** What the site says of the caller where he is now: in his job, or outside of any. */
async function siteOf(caller: Caller, daemon: Daemon): Promise<SitePolicy> {
  const { job, jobFacts } = placeOf(caller, daemon)
  return siteFor(caller, subjectJob(job, jobFacts), daemon.config)
}

/** An engine may hold names that no reference grammar knows (imported by hand); nobody can run those. */
function mayRunNamed(name: string, identity: ImageIdentity, site: SitePolicy): boolean {
  try {
    return mayRunImage(parseImageRef(name), identity, site)
  } catch {
    return false
  }
}

/** By one of the digests that it has under its name, as a run would find it. */
function runnable(image: ListedImage, site: SitePolicy): readonly ListedImage[] {
  const digests = image.digest === undefined ? [undefined] : image.namedDigests
  const readings = digests.map((digest) => ({ ...image, digest }))
  return readings.filter((reading) => mayRunNamed(image.name, reading, site)).slice(0, 1)
}

async function listImages(site: SitePolicy, { engine }: Daemon): Promise<readonly ImageRow[]> {
  const images = await engine.listImages()
  return images
    .flatMap((image) => runnable(image, site))
    .map(({ name, id, digest, sizeBytes }) => ({
      name,
      id,
      digest: digest ?? null,
      size_bytes: sizeBytes,
    }))
}
