// A dry run as people read it: the verdict, what decided each point, and the engine's create request.
import { printableJson } from '../base/errors.js'
import type { DryRun, PolicyPoint } from '../wire/policy-api.js'
import { oneLine } from './say.js'

export function describeDryRun({
  verdict,
  refusal,
  points,
  create_request: request,
}: DryRun): string {
  const why = refusal === null ? '' : `: ${refusal.message} (${refusal.code})`
  const head = `verdict: ${oneLine(verdict + why)}\n`
  const rows = points.length === 0 ? '' : `\n${points.map(describePoint).join('')}`
  const body =
    request === null ? '' : `\nthe engine would be asked for:\n${printableJson(request, 2)}\n`
  return head + rows + body
}

function describePoint({ point, value, decided_by: by, refusal, note }: PolicyPoint): string {
  const mark = refusal === null ? 'ok    ' : 'REFUSE'
  const lines = [`${mark} ${oneLine(point).padEnd(12)} ${oneLine(value)}`]
  if (by !== '') lines.push(oneLine(by))
  if (refusal !== null) lines.push(oneLine(`${refusal.message} (${refusal.code})`))
  if (note !== null) lines.push(oneLine(note))
  return `${lines.join('\n         ')}\n`
}
