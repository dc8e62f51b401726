// Stands in for the aggregator where the page's own states are tested: slow, busy, broken, signed out, empty, huge. What the
// real one says is tested in page.test.ts; the answers here have its shape.
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { UsageRow } from '../../../src/wire/report-api.js'
import type { UsageRecord } from '../../../src/wire/usage-api.js'
import { sumsOf } from './made-up-usage.js'

/** What the real one sends; strict, without an exception. */
export const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

export interface Pretence {
  records: readonly UsageRecord[]
  viewer: { user: string; uid: number; operator: boolean } | undefined
  /** Answers in place of figures. */
  fails: { status: number; code: string; message: string; retryAfterS?: number } | undefined
  /** Answers of /v1/usage wait for it. */
  hold: Promise<void> | undefined
}

export interface PretendAggregator {
  readonly url: string
  readonly state: Pretence
  /** "/v1/usage?by=…" of all questions until now */
  readonly asked: string[]
  close(): Promise<void>
}

const page = join(import.meta.dirname, '../../../dist/page')
const FILES: Readonly<Record<string, readonly [string, string]>> = {
  '/': ['index.html', 'text/html; charset=utf-8'],
  '/page.js': ['page.js', 'text/javascript; charset=utf-8'],
  '/page.css': ['page.css', 'text/css; charset=utf-8'],
}

export async function pretendAggregator(state: Pretence): Promise<PretendAggregator> {
  const asked: string[] = []
  const server = createServer((request, reply) => {
    asked.push(request.url ?? '')
    answer(request, reply, state).catch((error: unknown) => reply.destroy(error as Error))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    state,
    asked,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}

async function answer(request: IncomingMessage, reply: ServerResponse, state: Pretence) {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://page')
  const file = FILES[pathname]
  reply.setHeader('content-security-policy', POLICY)
  reply.setHeader('x-content-type-options', 'nosniff')
  if (file !== undefined) {
    reply.setHeader('content-type', file[1])
    reply.end(readFileSync(join(page, file[0])))
  } else if (state.viewer === undefined)
    refuse(reply, 401, 'HW_CREDENTIAL_EXPIRED', 'this session has ended')
  else if (pathname === '/v1/whoami') send(reply, state.viewer)
  else if (state.fails !== undefined) {
    const { status, code, message, retryAfterS } = state.fails
    if (retryAfterS !== undefined) reply.setHeader('retry-after', retryAfterS)
    refuse(reply, status, code, message)
  } else await figures(pathname, Object.fromEntries(searchParams), reply, state)
}

async function figures(
  pathname: string,
  said: Record<string, string>,
  reply: ServerResponse,
  { viewer, records, hold }: Pretence,
) {
  const mine = records.filter(({ uid }) => viewer?.operator === true || uid === viewer?.uid)
  if (pathname === '/v1/records') {
    reply.setHeader('content-type', 'application/x-ndjson')
    const lines = mine.filter(({ job_id }) => String(job_id) === said['job'])
    const limit = Number(said['limit'] ?? Infinity)
    if (lines.length > limit) reply.setHeader('hepwrap-next-cursor', 'more')
    reply.end(
      lines
        .slice(0, limit)
        .map((record) => `${JSON.stringify(record)}\n`)
        .join(''),
    )
  } else {
    await hold
    send(reply, usageOf(mine, said))
  }
}

function usageOf(
  records: readonly UsageRecord[],
  said: Record<string, string>,
): readonly UsageRow[] {
  const since = Date.parse(said['since'] ?? '')
  const until = Date.parse(said['until'] ?? '')
  const filters = ['cluster', 'user', 'account', 'image', 'node', 'state']
    .filter((key) => said[key] !== undefined)
    .map((key) => [key as 'user', (said[key] ?? '').split(',').map(globOf)] as const)
  const found = records.filter((record) => {
    const ended = Date.parse(record.ended_at ?? '')
    return (
      ended >= since &&
      ended < until &&
      filters.every(([key, globs]) => globs.some((glob) => glob.test(record[key] ?? '')))
    )
  })
  const by = (said['by'] ?? '').split(',').filter((key) => key !== '')
  const rows = [...sumsOf(found, by)]
  const sort = said['sort'] ?? 'runs'
  const of = (row: UsageRow) =>
    sort === 'io_bytes' ? row.io_read_bytes + row.io_write_bytes : row[sort as 'runs']
  if (said['top'] !== undefined)
    return rows.sort((a, b) => of(b) - of(a)).slice(0, Number(said['top']))
  return rows
}

const globOf = (glob: string) =>
  new RegExp(
    `^${glob
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}$`,
  )

function refuse(reply: ServerResponse, status: number, code: string, message: string) {
  reply.statusCode = status
  send(reply, { error: { code, message } })
}

function send(reply: ServerResponse, body: unknown) {
  reply.setHeader('content-type', 'application/json')
  reply.end(JSON.stringify(body))
}
