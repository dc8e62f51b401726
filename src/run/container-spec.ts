// RunPlan and a resolved image to what the engine is asked for; pure.
import { randomBytes } from 'node:crypto'
import { HepwrapError, quote } from '../base/errors.js'
import { NODE_LABEL, RUN_LABEL } from '../engine/docker-engine.js'
import type { BindMount, ContainerSpec, ImageFacts } from '../engine/engine.js'
import { mountOver } from '../plan/mounts.js'
import type { RunPlan } from '../plan/run-plan.js'
import { containerName } from './undo.js'

/** Where init and its gate are mounted. */
export interface GatePlace {
  readonly init: string
  readonly gate: string
}

/**
 * A place that nobody can name before the container runs. A user's mount is made after ours, and a symbolic link in the
 * image may lead its target anywhere: to a known place it could put another program where our init is expected.
 */
export function newGatePlace(): GatePlace {
  const directory = `/.hepwrap-${randomBytes(16).toString('hex')}`
  return { init: `${directory}/init`, gate: `${directory}/gate` }
}

/** What every container gets of ours: the init, its gate, and who the user is. */
export const ownBinds = (
  directory: string,
  { init, gate }: GatePlace,
  initPath: string,
): readonly BindMount[] => [
  bind(initPath, init),
  bind(`${directory}/gate`, gate),
  bind(`${directory}/passwd`, '/etc/passwd'),
  bind(`${directory}/group`, '/etc/group'),
]

export const bind = (
  source: string,
  target: string,
  { readOnly } = { readOnly: true },
): BindMount => ({ kind: 'bind', source, target, readOnly, propagation: 'rprivate' })

export interface SpecParts {
  readonly plan: RunPlan
  readonly image: ImageFacts
  readonly place: GatePlace
  /** "cluster/node" */
  readonly node: string
  readonly runtime: string
  /** Ours: init, gate, passwd, group; then the plan's, staged. */
  readonly mounts: ContainerSpec['mounts']
}

export function containerSpec({
  plan,
  image,
  place,
  node,
  runtime,
  mounts,
}: SpecParts): ContainerSpec {
  const { caller } = plan
  return {
    name: containerName(plan.runId),
    imageId: image.id,
    argv: [place.init, ...commandOf(plan, image)],
    env: plan.env,
    labels: { ...plan.labels, [RUN_LABEL]: plan.runId, [NODE_LABEL]: node },
    uid: caller.uid,
    gid: caller.gid,
    groups: caller.groups,
    tty: plan.tty,
    interactive: plan.interactive,
    network: plan.network,
    readOnlyRootfs: plan.readOnlyRootfs,
    devices: plan.devices,
    shmSizeBytes: plan.shmSizeBytes,
    ulimits: plan.ulimits,
    mounts,
    runtime,
  }
}

/**
 * Where the command begins. The caller's cwd is the image's own directory instead where the mount that holds it was left
 * out; a directory that he asked for (`isAsked`) stays what it is, and is missed by init.
 */
export function workdirOf(
  { workdir, mounts }: Pick<RunPlan, 'workdir' | 'mounts'>,
  image: Pick<ImageFacts, 'workdir'>,
  { isAsked, leftOut }: { readonly isAsked: boolean; readonly leftOut: readonly string[] },
): string {
  const holder = workdir === undefined ? undefined : mountOver(workdir, mounts)?.target
  const isMissing = !isAsked && holder !== undefined && leftOut.includes(holder)
  return workdir === undefined || isMissing ? image.workdir || '/' : workdir
}

/** Docker's rule: a command replaces the image's; an entrypoint, even an empty one, drops the image's command too. */
export function commandOf(
  plan: Pick<RunPlan, 'entrypoint' | 'args' | 'image'>,
  image: ImageFacts,
): readonly string[] {
  const entrypoint =
    plan.entrypoint === undefined
      ? image.entrypoint
      : plan.entrypoint === ''
        ? []
        : [plan.entrypoint]
  const args = plan.args.length > 0 || plan.entrypoint !== undefined ? plan.args : image.command
  const command = [...entrypoint, ...args]
  if (command.length === 0 || command[0] === '')
    throw new HepwrapError(
      'HW_COMMAND_MISSING',
      `image ${quote(plan.image.text)} names no command and none was given`,
    )
  return command
}
