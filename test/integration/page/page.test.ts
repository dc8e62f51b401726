// The page as the real aggregator serves it, in real Chromium: signed in by a link that `hepwrap page` prints, with records of
// real runs and with many made-up ones whose sums are known.
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { UsageRow } from '../../../src/wire/report-api.js'
import type { UsageRecord } from '../../../src/wire/usage-api.js'
import { hepwrap } from '../../slurm/job-runs.js'
import { ndjson } from '../../support/usage-record.js'
import {
  type Aggregator,
  askAs,
  sessionLink,
  startAggregator,
  stopAggregators,
} from '../../world/aggregator.js'
import { type Daemon, startDaemon, stopDaemons } from '../../world/daemon.js'
import { eventually } from '../../world/eventually.js'
import { as, type User } from '../../world/world.js'
import { screenshot, shown, startBrowser, violations, visit, type Visit } from './browser.js'
import { madeUpJob, madeUpRecord, madeUpRecords, sumsOf } from './made-up-usage.js'
import { POLICY, pretendAggregator } from './pretend-aggregator.js'

const HOSTILE = '<img src=x onerror="window.hacked=1">'
const nowMs = Date.now()
const uidOf: Readonly<Record<string, number>> = { amelie: 2001, bjorn: 2002 }
/** Two of the users are this world's. */
const made = [
  ...madeUpRecords({ nowMs, count: 3000, days: 60, users: 12 }),
  ...madeUpJob(900_042, nowMs),
].map((record, index): UsageRecord => {
  const name = record.user ?? ''
  const user = name === 'amelie' ? 'alice' : name === 'bjorn' ? 'bob' : name
  const image = index % 500 === 7 ? HOSTILE : record.image
  const id = index.toString(16).padStart(32, '0')
  return { ...record, id, user, uid: uidOf[name] ?? record.uid, image }
})

/** Names as long as real ones with their digests, and more of them than are asked for at once. */
const manyImages = Array.from({ length: 110 }, (_, index) =>
  madeUpRecord({
    id: (900_000 + index).toString(16).padStart(32, '0'),
    job_id: 900_100 + index,
    user: 'zoe',
    uid: 4999,
    account: 'atlas',
    image: `registry.hep.example/a-group/of/people/with-a-long-name/${'project'.repeat(10)}@sha256:${index.toString(16).padStart(64, '0')}`,
    node: 'n1',
    state: 'COMPLETED',
    endedMs: nowMs - index * 1000 - 1000,
    elapsedMs: 600_000 + index * 1000,
  }),
)

let browser: Browser
let aggregator: Aggregator
let daemon: Daemon
let job = 0

beforeAll(async () => {
  browser = await startBrowser()
  aggregator = await startAggregator({ config: { auth: { node_address: 'any' } } })
  const seeded = [...made, ...manyImages]
  const nodes = new Set(seeded.map(({ node }) => node))
  for (const node of nodes) {
    const body = ndjson(seeded.filter((record) => record.node === node))
    const sent = await askAs('root', aggregator, { method: 'POST', path: '/v1/records', body })
    expect([sent.status, await sent.text()]).toEqual([200, expect.stringContaining('"inserted":')])
  }
  daemon = await startDaemon({ config: { accounting: { aggregator: aggregator.url } } })
  const script =
    'echo $SLURM_JOB_ID; srun -n 2 -Q hepwrap run busybox:test sleep 1; srun -n 1 -Q hepwrap run nothing:1 true'
  const { stdout } = await as('alice').run([
    'salloc',
    '-Q',
    '-p',
    'shared',
    '-n',
    '2',
    'sh',
    '-c',
    script,
  ])
  job = Number(stdout.split('\n')[0])
  await eventually(
    () => daemon.ledgerRows("select id from records where state != 'RUNNING'").length === 3,
  )
  await eventually(async () => {
    const reply = await askAs('root', aggregator, { path: `/v1/records?job=${job}` })
    const lines = (await reply.text()).split('\n').filter((line) => line.includes('"ended_at":"'))
    return lines.length === 3
  })
}, 180_000)
afterEach(() => Promise.all(browser.contexts().map((context) => context.close())))
afterAll(async () => {
  await browser.close()
  await stopDaemons()
  await stopAggregators()
})

/** Signed in as this user, at this view. */
async function signIn(
  user: User,
  search = '',
  options: BrowserContextOptions = {},
): Promise<Visit> {
  const opened = await visit(browser, options)
  await opened.page.goto(await sessionLink(user, aggregator))
  await shown(opened.page)
  if (search !== '') {
    await opened.page.goto(new URL(search, aggregator.url).href)
    await shown(opened.page)
  }
  return opened
}

const tileOf = (page: Page, name: string) =>
  page.locator('.tile:visible', { hasText: name }).locator('.value')
const DAY_MS = 86_400_000
const since = (days: number) => Math.floor(nowMs / DAY_MS) * DAY_MS - (days - 1) * DAY_MS
const numberOf = (text: string) => Number(text.replaceAll(',', ''))

describe('a session', () => {
  it('begins by the link that hepwrap page prints, which works once', async () => {
    const { stdout } = await hepwrap('alice', ['page', '--aggregator', aggregator.url])
    const link = stdout.trim()
    const { page, complaints } = await visit(browser)
    await page.goto(link)
    await shown(page)
    expect(page.url()).toBe(`${aggregator.url}/`)
    expect(await page.locator('#viewer').innerText()).toBe('alice · your own containers')
    expect(complaints).toEqual([])
    const { page: second } = await visit(browser)
    await second.goto(link)
    await second.getByRole('heading', { name: 'Sign in' }).waitFor()
  })

  it('shows a user his own, whatever his address asks for', async () => {
    const { page } = await signIn('alice', '?last=12mo&measure=runs')
    const hers = made.filter(({ uid }) => uid === 2001).length + 3
    expect(numberOf(await tileOf(page, 'Containers').innerText())).toBe(hers)
    expect(await page.getByText('bob', { exact: true }).count()).toBe(0)
    await page.goto(new URL('?last=12mo&user=bob', aggregator.url).href)
    await shown(page)
    expect(await tileOf(page, 'Containers').innerText()).toBe('0')
    const direct = await page.evaluate<{ status: number; body: string }>(
      'fetch("/v1/usage?by=user").then(async (reply) => ({ status: reply.status, body: await reply.text() }))',
    )
    expect((JSON.parse(direct.body) as UsageRow[]).map(({ user }) => user)).toEqual(['alice'])
    await page.goto(
      new URL(`?job=${made.find(({ uid }) => uid === 2002)?.job_id ?? 0}`, aggregator.url).href,
    )
    await shown(page)
    const rows = await page.getByRole('cell', { name: 'bob', exact: true }).count()
    expect(rows).toBe(0)
  })

  it('shows an operator everybody', async () => {
    const { page } = await signIn('root', '?last=12mo&measure=runs&by=user')
    expect(await page.locator('#viewer').innerText()).toBe(
      "root · operator: everybody's containers",
    )
    const all = made.length + manyImages.length + 3
    expect(numberOf(await tileOf(page, 'Containers').innerText())).toBe(all)
    const users = page.getByRole('region', { name: 'Users' }).getByRole('rowheader')
    expect(await users.allInnerTexts()).toEqual(expect.arrayContaining(['alice', 'bob']))
  })

  it('that has ended says how to begin another', async () => {
    const { page } = await signIn('alice')
    await page.context().clearCookies()
    await page.getByLabel('7 days').check()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    expect(await page.getByRole('alert').innerText()).toContain('hepwrap page')
  })
})

describe('under the aggregator’s own policy', () => {
  it('which is the one of the other tests', async () => {
    const reply = await fetch(aggregator.url)
    expect(reply.headers.get('content-security-policy')).toBe(POLICY)
    expect(reply.headers.get('x-content-type-options')).toBe('nosniff')
  })

  it.each<[string, string, BrowserContextOptions]>([
    ['real-light', '', { colorScheme: 'light' }],
    ['real-dark', '?last=12mo&by=image', { colorScheme: 'dark' }],
    ['real-job', '?job=900042', {}],
    ['real-narrow', '?last=7d&by=state', { viewport: { width: 360, height: 740 } }],
  ])('%s has no complaint, and axe-core finds nothing', async (name, search, options) => {
    const { page, complaints } = await signIn('root', search, options)
    await screenshot(page, name)
    expect(await violations(page)).toEqual([])
    expect(await page.evaluate('window.hacked')).toBeUndefined()
    expect(complaints).toEqual([])
  })
})

describe('figures', () => {
  it('are the sums of the records: by day in the table, by name in the top list', async () => {
    const { page } = await signIn('root', '?last=7d&measure=runs&by=account&user=c*')
    const counted = made.filter(
      ({ ended_at, user }) => Date.parse(ended_at ?? '') >= since(7) && user?.startsWith('c'),
    )
    expect(numberOf(await tileOf(page, 'Containers').innerText())).toBe(counted.length)
    await page.getByText('Table', { exact: true }).click()
    const days = page
      .getByRole('table', { name: 'Containers by day and account' })
      .locator('tbody tr')
    await days.first().waitFor()
    const shownRuns = await days.locator('td:nth-child(2)').allInnerTexts()
    const expected = Array.from({ length: 7 }, (_, day) => {
      const from = since(7) + day * DAY_MS
      return counted.filter(({ ended_at }) => {
        const at = Date.parse(ended_at ?? '')
        return at >= from && at < from + DAY_MS
      }).length
    })
    expect(shownRuns.map(numberOf)).toEqual(expected)
  })

  it.each([
    'by=account&top=5&sort=cpu_usec',
    'by=day,account',
    'by=week,state',
    'by=month,image&image=*atlas*',
    'by=hour',
    'by=node&user=alice,chen&top=3&sort=io_bytes',
    '',
  ])('have the shape and the sums that the pretence of the other tests has: %s', async (query) => {
    const span = `since=${new Date(since(30)).toISOString()}&until=${new Date(since(2)).toISOString()}`
    const pretence = await pretendAggregator({
      records: [...made, ...manyImages],
      viewer: { user: 'root', uid: 0, operator: true },
      fails: undefined,
      hold: undefined,
    })
    const ask = async (reply: Promise<Response>) =>
      ((await (await reply).json()) as UsageRow[]).map((row) =>
        Object.fromEntries(
          Object.entries(row).map(([key, value]) => [
            key,
            /^(?:hour|day|week|month)$/.test(key) ? Date.parse(String(value)) : value,
          ]),
        ),
      )
    const path = `/v1/usage?${[query, span].filter((part) => part !== '').join('&')}`
    const real = await ask(askAs('root', aggregator, { path }))
    const pretended = await ask(fetch(pretence.url + path.slice(1)))
    await pretence.close()
    const ordered = (rows: readonly object[]) =>
      rows.map((row) => JSON.stringify(sorted(row))).sort()
    expect(real.length).toBeGreaterThan(0)
    expect(ordered(real)).toEqual(ordered(pretended))
  })

  it('of images with long names: the seven with the most by name, and all others', async () => {
    const { page, complaints } = await signIn('root', '?user=zoe&by=image&last=24h')
    const legend = page.locator('.legend li')
    expect(await legend.count()).toBe(8)
    expect(await legend.first().innerText()).toContain(manyImages.at(-1)?.image.slice(-20))
    expect(await legend.last().innerText()).toContain('all others')
    expect(complaints).toEqual([])
  })

  it('of a real job: its containers on the time line, and why one was refused', async () => {
    const { page, complaints } = await signIn('alice', `?job=${job}`)
    await screenshot(page, 'real-own-job')
    expect(await page.getByRole('heading', { level: 1 }).innerText()).toBe(`Job ${job}`)
    const table = page.getByRole('table', { name: `Containers of job ${job}` })
    const states = await table.locator('tbody td:nth-child(2)').allInnerTexts()
    expect(states.sort()).toEqual(['COMPLETED', 'COMPLETED', 'REFUSED'])
    expect(await table.getByText('HW_IMAGE_REFUSED').count()).toBe(1)
    expect(await page.locator('.lanes rect').count()).toBeGreaterThanOrEqual(4) // set-up and run of two
    expect(complaints).toEqual([])
  })

  it('of nobody are none', async () => {
    const { page } = await signIn('bob', '?last=24h&image=no-such-image')
    expect(await tileOf(page, 'Containers').innerText()).toBe('0')
    await page.getByText('Nothing of this ended in this time').waitFor()
    expect(sumsOf([], [])).toEqual([])
  })

  it('that cannot be asked for are refused in words', async () => {
    const { page } = await signIn('root', '?state=NONSENSE')
    const alert = page.getByRole('alert').filter({ visible: true })
    expect(await alert.innerText()).toContain('NONSENSE')
    expect(await alert.innerText()).toMatch(/\(HW_\w+\)/)
  })
})

describe('when the aggregator goes', () => {
  it('the page says so; it comes back, and asks for a new session', async () => {
    const { page } = await signIn('root')
    await aggregator.stop()
    await page.getByLabel('7 days').check()
    await shown(page)
    expect(await page.getByRole('alert').filter({ visible: true }).innerText()).toContain(
      'does not answer',
    )
    await aggregator.restart()
    await page.getByRole('button', { name: 'Try again' }).click()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  })
})

const sorted = (row: object) =>
  Object.fromEntries(Object.entries(row).sort(([a], [b]) => a.localeCompare(b)))
