// Questions to the aggregator that served this page. The session's cookie says who asks.
import type { UsageQuery, UsageRow } from '../wire/report-api.js'
import type { UsageRecord } from '../wire/usage-api.js'

export interface Viewer {
  readonly user: string | null
  readonly uid: number
  readonly operator: boolean
}

/** `signed-out`: no session, or an old one. `busy`: asked to come back later. */
export type AskFailure = 'signed-out' | 'busy' | 'refused' | 'broken' | 'unreachable'

export class AskError extends Error {
  readonly failure: AskFailure
  readonly code: string | undefined
  readonly retryAfterS: number | undefined

  constructor(failure: AskFailure, message: string, code?: string, retryAfterS?: number) {
    super(message)
    this.failure = failure
    this.code = code
    this.retryAfterS = retryAfterS
  }
}

export const askViewer = async (signal: AbortSignal): Promise<Viewer> =>
  (await (await ask('v1/whoami', signal)).json()) as Viewer // same release, same contract

export async function askUsage(
  query: UsageQuery,
  signal: AbortSignal,
): Promise<readonly UsageRow[]> {
  const reply = await ask(`v1/usage?${queryOf(query)}`, signal)
  return (await reply.json()) as readonly UsageRow[] // same release, same contract
}

export interface JobRecords {
  readonly records: readonly UsageRecord[]
  readonly hasMore: boolean
}

/** The first `limit` records of a job. */
export async function askJob(job: string, limit: number, signal: AbortSignal): Promise<JobRecords> {
  const reply = await ask(`v1/records?${queryOf({ job, limit })}`, signal)
  const lines = (await reply.text()).split('\n').filter((line) => line !== '')
  return {
    records: lines.slice(0, limit).map((line) => JSON.parse(line) as UsageRecord), // as above
    hasMore: lines.length > limit || reply.headers.has('hepwrap-next-cursor'),
  }
}

export function queryOf(query: Readonly<Record<string, string | number | undefined>>): string {
  const said = new URLSearchParams()
  for (const [name, value] of Object.entries(query))
    if (value !== undefined && value !== '') said.set(name, String(value))
  return said.toString()
}

async function ask(path: string, signal: AbortSignal): Promise<Response> {
  let reply: Response
  try {
    reply = await fetch(path, { signal, credentials: 'same-origin', redirect: 'error' })
  } catch (cause) {
    if (signal.aborted) throw cause
    throw new AskError('unreachable', 'The aggregator does not answer.')
  }
  if (!reply.ok) throw await failureOf(reply)
  return reply
}

async function failureOf(reply: Response): Promise<AskError> {
  const { code, message } = wordsOf(await reply.text().catch(() => ''))
  const said = message ?? `status ${reply.status}`
  if (reply.status === 401) return new AskError('signed-out', said, code)
  if (reply.status === 503 || reply.status === 429) {
    const seconds = Number(reply.headers.get('retry-after') ?? NaN)
    return new AskError('busy', said, code, Number.isFinite(seconds) ? seconds : undefined)
  }
  return new AskError(reply.status < 500 ? 'refused' : 'broken', said, code)
}

/** Of `{"error": {"code", "message"}}`; a proxy's own error page has neither. */
function wordsOf(body: string): { code: string | undefined; message: string | undefined } {
  try {
    const { error } = JSON.parse(body) as { error?: { code?: unknown; message?: unknown } }
    return {
      code: typeof error?.code === 'string' ? error.code : undefined,
      message: typeof error?.message === 'string' ? error.message : undefined,
    }
  } catch {
    return { code: undefined, message: undefined }
  }
}
