// A run up to the moment where it would begin: every point judged, the engine's request built, nothing made or started.
import { join } from 'node:path'
import { abortable } from '../base/abortable.js'
import {
  asHepwrapError,
  EXIT_REFUSED,
  HepwrapError,
  quote,
  type ReasonCode,
} from '../base/errors.js'
import { newRunId } from '../base/ids.js'
import { createOptions } from '../engine/create-options.js'
import type { ContainerSpec, ImageFacts } from '../engine/engine.js'
import type { Caller } from '../identity/caller.js'
import { isInside } from '../mounts/placeholders.js'
import { previewMounts, type PreviewedMount } from '../mounts/preview.js'
import { placesDirectory } from '../mounts/staging.js'
import type { RunPlan } from '../plan/run-plan.js'
import { judge, mountLaw, type Verdict } from '../policy/policy.js'
import type { SitePolicy } from '../rules/site-policy.js'
import type { DryRun, PolicyPoint } from '../wire/policy-api.js'
import type { RunClose, RunRequest } from '../wire/run-api.js'
import { placeOf, planFor, type CallerPlace } from './admit.js'
import { bind, containerSpec, newGatePlace, ownBinds } from './container-spec.js'
import { nodeLabel } from './launch.js'
import { closeOf } from './outcome.js'
import { judgeContent } from './ready-image.js'
import type { RunClient, RunDeps } from './run-deps.js'
import { runDirectory } from './undo.js'

export interface Rehearsal {
  /** Whose run it would be. */
  readonly caller: Caller
  /** Who asks, and has opened the mounts' sources. */
  readonly opener: Caller
  readonly place: CallerPlace
  readonly request: RunRequest
  /** Nobody waits for the answer any more. */
  readonly gone?: AbortSignal
}

/** Says what would be; nothing of it is recorded, for nothing was tried. */
export async function rehearse(client: RunClient, deps: RunDeps): Promise<RunClose> {
  try {
    const { caller, request, gone } = client
    const place = placeOf(caller, deps)
    const report = await dryRun({ caller, opener: caller, request, place, gone }, deps)
    client.event({ kind: 'dry-run', report })
    const { verdict, refusal } = report
    deps.log.info({ uid: caller.uid, verdict, code: refusal?.code }, 'dry run')
    if (report.refusal === null) return { exit: 0 }
    return { exit: EXIT_REFUSED, ...report.refusal }
  } catch (thrown) {
    return closeOf(undefined, asHepwrapError(thrown))
  }
}

export async function dryRun(
  { caller, opener, place, request, gone }: Rehearsal,
  deps: RunDeps,
): Promise<DryRun> {
  try {
    const { plan, site } = await planFor(newRunId(), caller, request, place, deps)
    const verdicts = judge(plan, site, deps.config)
    const law = mountLaw(site, deps.config)
    const reachesMounts = verdicts.some(({ point }) => point === 'mount')
    const mounts = reachesMounts ? await previewMounts(plan.mounts, { caller: opener, law }) : []
    const judged = merged(verdicts, mounts)
    // The run would not get as far as opening a source.
    const refused = verdicts.find((verdict) => !isFine(verdict))
    if (refused !== undefined) return reportOf(judged, null, pointOf(refused).refusal)
    const { image, points } = await rehearseImage(plan, site, gone, deps)
    const all = [...judged, ...points]
    return reportOf(all, createOptions(specOf(plan, image, mounts, deps)))
  } catch (thrown) {
    if (!(thrown instanceof HepwrapError)) throw thrown
    return { verdict: 'refused', refusal: refusalOf(thrown), points: [], create_request: null }
  }
}

const isFine = ({ refusal }: Verdict): boolean => refusal === undefined

function reportOf(
  points: readonly PolicyPoint[],
  request: object | null,
  first?: PolicyPoint['refusal'],
): DryRun {
  const refusal = first ?? points.find((point) => point.refusal !== null)?.refusal ?? null
  return {
    verdict: refusal === null ? 'allowed' : 'refused',
    refusal,
    points,
    create_request: refusal === null ? request : null,
  }
}

const refusalOf = ({ code, message }: { code: ReasonCode; message: string }) => ({ code, message })

const pointOf = ({ point, value, decidedBy, refusal }: Verdict): PolicyPoint => ({
  point,
  value,
  decided_by: decidedBy,
  refusal: refusal === undefined ? null : { code: refusal.code, message: refusal.text },
  note: null,
})

/** What the texts of the mounts said gives way to what their descriptors are. */
function merged(
  verdicts: readonly Verdict[],
  mounts: readonly PreviewedMount[],
): readonly PolicyPoint[] {
  const previews = mounts[Symbol.iterator]()
  return verdicts.map((verdict) => {
    const point = pointOf(verdict)
    const preview = verdict.point === 'mount' ? previews.next().value : undefined
    const isOpen = preview !== undefined && point.refusal === null
    return isOpen ? withPreview(point, preview) : point
  })
}

function withPreview(
  point: PolicyPoint,
  { objection, source, mount }: PreviewedMount,
): PolicyPoint {
  if (objection === undefined) {
    const wasWritable = mount.kind === 'caller' && !mount.readOnly
    const note = source?.readOnly === true && wasWritable ? 'read-only on this site' : null
    return { ...point, note }
  }
  const decided = { ...point, decided_by: objection.rule ?? point.decided_by }
  return objection.isLeftOut
    ? { ...decided, note: `left out: ${objection.message}` }
    : { ...decided, refusal: refusalOf(objection) }
}

interface RehearsedImage {
  readonly image: ImageFacts
  readonly points: readonly PolicyPoint[]
}

/** Nothing is pulled: of an image that is not here only the name has been judged. */
async function rehearseImage(
  plan: RunPlan,
  site: SitePolicy,
  gone: AbortSignal | undefined,
  deps: RunDeps,
): Promise<RehearsedImage> {
  const timeout = AbortSignal.timeout(deps.config.node.start_timeout_s * 1000)
  const signal = gone === undefined ? timeout : AbortSignal.any([gone, timeout])
  const image = await abortable(deps.engine.findImage(plan.image), signal)
  if (image !== undefined) {
    const judged = await judgeContent({ ref: plan.image, image, site, signal }, deps)
    return { image: judged.image, points: judged.verdicts.map(pointOf) }
  }
  if (plan.pull === 'never')
    throw new HepwrapError('HW_IMAGE_ABSENT', `image ${quote(plan.image.text)} is not on this node`)
  const point = { point: 'image', value: plan.image.text, decided_by: '', refusal: null }
  const note = 'not on this node: it would be pulled, and judged again by its digest'
  return { image: UNKNOWN_IMAGE, points: [{ ...point, note }] }
}

const UNKNOWN_IMAGE: ImageFacts = {
  id: '(known once it is pulled)',
  digest: undefined,
  namedDigests: [],
  digests: [],
  entrypoint: [],
  command: ["(the image's own command)"],
  workdir: '',
  platform: '',
  sizeBytes: 0,
}

/** As launch would build it; what it makes for the one run is named by a run id that will not be used. */
function specOf(
  plan: RunPlan,
  image: ImageFacts,
  mounts: readonly PreviewedMount[],
  deps: RunDeps,
): ContainerSpec {
  const directory = runDirectory(deps.config.node.run_dir, plan.runId)
  const place = newGatePlace()
  return containerSpec({
    plan,
    image,
    place,
    node: nodeLabel(deps),
    runtime: deps.config.engine.runtime,
    mounts: [...ownBinds(directory, place, deps.initPath), ...mountsOf(mounts, directory)],
  })
}

/** Placeholders, as holdBack makes them; what lies in another mount is put there by us. */
function mountsOf(mounts: readonly PreviewedMount[], directory: string): ContainerSpec['mounts'] {
  const there = mounts.filter(({ mount, source }) => mount.kind === 'tmpfs' || source !== undefined)
  return there.flatMap(({ mount }, index): ContainerSpec['mounts'] => {
    if (
      isInside(
        mount,
        there.map((other) => other.mount),
      )
    )
      return []
    if (mount.kind === 'tmpfs') return [mount]
    const place = join(placesDirectory(directory), `${index}`)
    return [{ ...bind(place, mount.target), propagation: 'rslave' }]
  })
}
