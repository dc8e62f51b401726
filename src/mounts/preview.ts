// What staging would say of a plan's mounts, without a mount being made.
import { closeSync } from 'node:fs'
import { asHepwrapError, HepwrapError, type ReasonCode } from '../base/errors.js'
import type { PlanMount } from '../plan/run-plan.js'
import { isDispensable, openSource, type Judges } from './judged-source.js'
import { realLaw } from './real-path.js'

export interface PreviewedMount {
  readonly mount: PlanMount
  /** What would be bound: its real path. Undefined: left out, or refused. */
  readonly source?: { readonly path: string; readonly readOnly: boolean }
  readonly objection?: {
    readonly code: ReasonCode
    readonly message: string
    readonly rule: string | undefined
    /** Nobody asked for it: the run goes without. */
    readonly isLeftOut: boolean
  }
}

export async function previewMounts(
  mounts: readonly PlanMount[],
  { caller, law }: Judges,
): Promise<readonly PreviewedMount[]> {
  const judges = { caller, law: await realLaw(law) }
  const previews: PreviewedMount[] = []
  for (const mount of mounts) previews.push(await preview(mount, judges))
  return previews
}

async function preview(mount: PlanMount, judges: Judges): Promise<PreviewedMount> {
  if (mount.kind === 'tmpfs') return { mount }
  try {
    const { fd, path, readOnly } = await openSource(mount, judges)
    closeSync(fd)
    return { mount, source: { path, readOnly } }
  } catch (thrown) {
    if (!(thrown instanceof HepwrapError)) throw thrown
    const { code, message, rule } = asHepwrapError(thrown)
    return { mount, objection: { code, message, rule, isLeftOut: isDispensable(mount, code) } }
  }
}
