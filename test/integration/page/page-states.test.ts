// The page in real Chromium, under the policy that the aggregator sends: what it asks, what it shows, and how it fares when
// the aggregator is slow, busy, broken, gone, or has 10,000 users to tell of.
import { readFile } from 'node:fs/promises'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../../world/eventually.js'
import { screenshot, shown, startBrowser, violations, visit, type Visit } from './browser.js'
import { madeUpJob, madeUpRecord, madeUpRecords } from './made-up-usage.js'
import { pretendAggregator, type PretendAggregator } from './pretend-aggregator.js'

const OPERATOR = { user: 'root', uid: 0, operator: true }
const nowMs = Date.now()
const records = [
  ...madeUpRecords({ nowMs, count: 20_000, days: 365, users: 40 }),
  ...madeUpJob(42, nowMs),
]

let browser: Browser
let aggregator: PretendAggregator

beforeAll(async () => {
  browser = await startBrowser()
  aggregator = await pretendAggregator({
    records,
    viewer: OPERATOR,
    fails: undefined,
    hold: undefined,
  })
})
afterAll(async () => {
  await browser.close()
  await aggregator.close()
})
afterEach(async () => {
  Object.assign(aggregator.state, { records, viewer: OPERATOR, fails: undefined, hold: undefined })
  aggregator.asked.length = 0
  await Promise.all(browser.contexts().map((context) => context.close()))
})

async function open(search = '', options: BrowserContextOptions = {}): Promise<Visit> {
  const opened = await visit(browser, options)
  await opened.page.goto(aggregator.url + search)
  await shown(opened.page)
  return opened
}

/** The words of a row of a table, by its first cell. */
const rowOf = (page: Page, panel: string, name: string) =>
  page.getByRole('region', { name: panel }).getByRole('row', { name: new RegExp(`^${name}\\b`) })

const tileOf = (page: Page, name: string) =>
  page.locator('.tile:visible', { hasText: name }).locator('.value')

/** A promise that is kept when the test says so. */
function held() {
  let resolve = () => {}
  const promise = new Promise<void>((done) => (resolve = done))
  return { promise, resolve: () => resolve() }
}

it('goes with the licences of all that is bundled', async () => {
  const text = await readFile('/opt/hepwrap/dist/page/licenses.txt', 'utf8')
  for (const name of ['@observablehq/plot', 'd3-scale', 'd3-array'])
    expect(text).toMatch(new RegExp(`^${name} \\d+\\.`, 'm'))
  expect(text.match(/copyright/gi)?.length).toBeGreaterThan(10)
})

describe('looks', () => {
  it.each<[string, string, BrowserContextOptions]>([
    ['light', '', { colorScheme: 'light' }],
    ['dark', '?last=12mo&by=image', { colorScheme: 'dark' }],
    ['narrow', '', { viewport: { width: 360, height: 740 } }],
    ['hours', '?last=24h&by=state&measure=runs', {}],
    ['job', '?job=42', {}],
    ['job-dark', '?job=42', { colorScheme: 'dark' }],
    ['job-narrow', '?job=42', { viewport: { width: 360, height: 740 } }],
    ['empty', '?user=nobody', {}],
    ['no-such-job', '?job=1', {}],
  ])(
    '%s: no complaint, nothing that axe-core finds, no wider than the window',
    async (name, search, options) => {
      const { page, complaints } = await open(search, options)
      await screenshot(page, name)
      expect(await violations(page)).toEqual([])
      expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true)
      expect(complaints).toEqual([])
    },
  )

  it('is drawn where light and dark differ', async () => {
    const ground = async (colorScheme: 'light' | 'dark') => {
      const { page } = await open('', { colorScheme })
      return page.evaluate<string>(
        '[document.body, document.querySelector(".plot rect")].map((one) => { const style = getComputedStyle(one); return one.tagName + style.backgroundColor + style.fill }).join()',
      )
    }
    expect(await ground('light')).not.toBe(await ground('dark'))
  })

  it('moves nothing for who wants no motion', async () => {
    const wait = held()
    aggregator.state.hold = wait.promise
    const animation = async (reducedMotion: 'reduce' | 'no-preference') => {
      const { page } = await visit(browser, { reducedMotion })
      await page.goto(aggregator.url)
      await page.locator('[aria-busy]').first().waitFor()
      return page.evaluate(
        'getComputedStyle(document.querySelector("[aria-busy]"), "::before").animationName',
      )
    }
    expect(await animation('no-preference')).toBe('pass')
    expect(await animation('reduce')).toBe('none')
    wait.resolve()
  })
})

describe('filters', () => {
  it('change what is asked and what is shown, and the address, which a colleague may open', async () => {
    const { page, complaints } = await open()
    const before = await tileOf(page, 'Containers').innerText()
    await page.getByRole('combobox', { name: 'Account', exact: true }).fill('cms')
    await page.getByRole('combobox', { name: 'Image', exact: true }).fill('*cmssw*')
    await page.getByRole('button', { name: 'Show' }).click()
    await page.getByLabel('7 days').check()
    await page.getByLabel('Measure').selectOption('Containers')
    await page.getByLabel('Split by').selectOption('node')
    await shown(page)
    const search = new URL(page.url()).searchParams
    expect(Object.fromEntries(search)).toEqual({
      last: '7d',
      measure: 'runs',
      by: 'node',
      account: 'cms',
      image: '*cmssw*',
    })
    const asked = new URL(aggregator.asked.at(-1) ?? '', aggregator.url).searchParams
    expect([asked.get('account'), asked.get('image')]).toEqual(['cms', '*cmssw*'])
    const after = await tileOf(page, 'Containers').innerText()
    expect(Number(after)).toBeGreaterThan(0)
    expect(after).not.toBe(before)
    const accounts = page.getByRole('region', { name: 'Accounts' }).getByRole('rowheader')
    expect(await accounts.allInnerTexts()).toEqual(['cms'])

    const { page: theirs } = await open(new URL(page.url()).search)
    expect(await tileOf(theirs, 'Containers').innerText()).toBe(after)
    expect(await theirs.getByRole('combobox', { name: 'Account', exact: true }).inputValue()).toBe(
      'cms',
    )
    expect(await theirs.getByLabel('7 days').isChecked()).toBe(true)
    expect(complaints).toEqual([])
  })

  it('are set by a name of a top list, cleared at once, and back comes back', async () => {
    const { page } = await open('?last=12mo')
    await page
      .getByRole('region', { name: 'Users' })
      .getByRole('link', { name: 'amelie', exact: true })
      .click()
    await shown(page)
    expect(await page.getByRole('combobox', { name: 'User', exact: true }).inputValue()).toBe(
      'amelie',
    )
    const hers = await tileOf(page, 'Containers').innerText()
    await page.getByRole('button', { name: 'Clear filters' }).click()
    await shown(page)
    expect(await tileOf(page, 'Containers').innerText()).not.toBe(hers)
    await page.goBack()
    await shown(page)
    expect(await tileOf(page, 'Containers').innerText()).toBe(hers)
  })

  it('of own dates are days of UTC, both inclusive', async () => {
    const { page } = await open('?from=2026-06-01&to=2026-06-07')
    expect(await page.getByLabel('From').inputValue()).toBe('2026-06-01')
    const asked = new URL(aggregator.asked.at(-1) ?? '', aggregator.url).searchParams
    expect(asked.get('since')).toBe('2026-06-01T00:00:00.000Z')
    expect(asked.get('until')).toBe('2026-06-08T00:00:00.000Z')
    expect(await page.locator('.subtitle').innerText()).toBe(
      'Mon, 1 Jun 2026 to Sun, 7 Jun 2026 (UTC days)',
    )
  })

  it('that the aggregator refuses say why', async () => {
    aggregator.state.fails = {
      status: 400,
      code: 'HW_FILTER_INVALID',
      message: 'state "X" is none',
    }
    const { page } = await open('?state=X')
    const alert = page.getByRole('alert').filter({ visible: true })
    expect(await alert.innerText()).toContain('state "X" is none (HW_FILTER_INVALID)')
  })
})

describe('what is shown', () => {
  it('adds up: tiles, bars, table, legend and file', async () => {
    const { page } = await open('?last=7d&measure=runs&by=state')
    const total = (await tileOf(page, 'Containers').innerText()).replace(',', '')
    await page.getByText('Table', { exact: true }).click()
    const table = page.getByRole('table', { name: 'Containers by day and state' })
    await table.waitFor()
    expect(await table.getByRole('row').count()).toBe(8)
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'CSV file: Containers by day and state' }).click(),
    ])
    expect(download.suggestedFilename()).toBe('usage-by-day-and-state.csv')
    const [head = '', ...lines] = (await readFile(await download.path(), 'utf8'))
      .trim()
      .split('\r\n')
    const sum = (column: number) =>
      lines.reduce((all, line) => all + Number(line.split(',')[column]), 0)
    expect(head.split(',').slice(0, 3)).toEqual(['day (UTC)', '"All', ' Containers"'])
    expect(lines).toHaveLength(7)
    expect(sum(1)).toBe(Number(total))
    const parts = head.split(',').length - 3
    expect(Array.from({ length: parts }, (_, at) => sum(at + 2)).reduce((a, b) => a + b)).toBe(
      Number(total),
    )
    const legend = await page.locator('.legend .of:not(.quiet)').allInnerTexts()
    expect(legend.reduce((all, one) => all + Number(one.replace(',', '')), 0)).toBe(Number(total))
  })

  it('of hours is in the viewer’s zone, of days in UTC, and both are said', async () => {
    const zone = { timezoneId: 'Asia/Kolkata' }
    const { page } = await open('?last=24h', zone)
    await page.getByText('Table', { exact: true }).click()
    const first = page.locator('.fold tbody th').first()
    expect(await first.innerText()).toMatch(/:30$/) // UTC+5:30
    expect(await page.locator('#zone').innerText()).toContain('(UTC+5:30)')
    const { page: days } = await open('?last=7d', zone)
    expect(await days.locator('.subtitle').innerText()).toContain('UTC days')
  })

  it('of a job: parts of each container in its state, the same in the table', async () => {
    const { page, complaints } = await open('?job=42')
    const count = madeUpJob(42, nowMs).length
    expect(await page.getByRole('heading', { level: 1 }).innerText()).toBe('Job 42')
    const image = page.getByRole('img', { name: /^Time line of/ })
    expect(await image.getAttribute('aria-label')).toContain(
      `${count} containers in ${count} tasks`,
    )
    const table = page.getByRole('table', { name: 'Containers of job 42' })
    expect(await table.getByRole('row').count()).toBe(count + 1)
    const colours = await page.evaluate<string[]>(
      '[...new Set([...document.querySelectorAll(".lanes rect")].map((one) => one.getAttribute("fill") ?? one.parentNode.getAttribute("fill")))]',
    )
    for (const part of ['pull', 'setup', 'completed', 'failed', 'out-of-memory'])
      expect(colours.join()).toContain(`--state-${part}`)
    expect(complaints).toEqual([])
  })

  it('of a job of 5,000 tasks is the first 2,000, and where to find the rest', async () => {
    aggregator.state.records = Array.from({ length: 5000 }, (_, task) =>
      madeUpRecord(
        {
          id: `wide-${task}`,
          job_id: 77,
          user: 'amelie',
          uid: 3000,
          account: null,
          image: 'debian:12',
          node: `wn${task >> 6}`,
          state: task % 50 === 0 ? 'FAILED' : 'COMPLETED',
          endedMs: nowMs - task,
          elapsedMs: 3_600_000 - task,
        },
        { task },
      ),
    )
    const { page, complaints } = await open('?job=77')
    await page.getByText('The first 2,000 containers; hepwrap acct --job 77 lists all.').waitFor()
    expect(await page.getByRole('table').getByRole('row').count()).toBe(2001)
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true)
    // The time line scrolls in its own place, by keyboard too.
    const lanes = page.getByRole('group', { name: 'Time line' })
    expect(await page.evaluate('document.querySelector(".lanes").clientHeight')).toBeLessThan(700)
    await lanes.focus()
    await page.keyboard.press('End')
    await eventually(() =>
      page.evaluate<boolean>('document.querySelector(".lanes").scrollTop > 1000'),
    )
    await screenshot(page, 'job-wide', false)
    expect(complaints).toEqual([])
  })

  it('of 10,000 users is the few with the most, and all others', async () => {
    aggregator.state.records = Array.from({ length: 20_000 }, (_, index) =>
      madeUpRecord({
        id: `many-${index}`,
        job_id: index,
        user: `user${index % 10_000}`,
        uid: index,
        account: null,
        image: 'debian:12',
        node: 'n1',
        state: 'COMPLETED',
        endedMs: nowMs - (index % 700) * 3_600_000,
        elapsedMs: 60_000 + (index % 10_000),
      }),
    )
    const { page, complaints } = await open('?by=user')
    await screenshot(page, 'huge')
    expect(await tileOf(page, 'Containers').innerText()).toBe('20,000')
    expect(await page.locator('.legend li').count()).toBe(8)
    expect(await page.locator('.legend li').last().innerText()).toContain('all others')
    expect(await rowOf(page, 'Users', 'all others').innerText()).toContain('99.9%')
    const asked = aggregator.asked
      .filter((url) => url.startsWith('/v1/'))
      .map((url) => new URL(url, aggregator.url).searchParams)
    const byUser = asked.filter((said) => said.get('by')?.includes('user'))
    // Never all of them: either the top ones alone, or the top ones by name.
    expect(byUser.every((said) => said.has('top') || said.has('user'))).toBe(true)
    expect(complaints).toEqual([])
  })
})

describe('people see what is theirs', () => {
  it('a user sees his own containers, and is told so', async () => {
    aggregator.state.viewer = { user: 'amelie', uid: 3000, operator: false }
    const { page } = await open()
    expect(await page.locator('#viewer').innerText()).toBe('amelie · your own containers')
    expect(await page.getByRole('combobox', { name: 'User', exact: true }).count()).toBe(0)
    expect(await page.getByRole('region', { name: 'Users' }).count()).toBe(0)
    await screenshot(page, 'user')
    expect(await violations(page)).toEqual([])
  })

  it('who is not signed in is told how to', async () => {
    aggregator.state.viewer = undefined
    const { page } = await visit(browser)
    await page.goto(aggregator.url)
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    const notice = page.getByRole('alert')
    expect(await notice.innerText()).toContain('hepwrap page')
    expect(await notice.innerText()).toContain('HW_CREDENTIAL_EXPIRED')
    await screenshot(page, 'signed-out')
    expect(await violations(page)).toEqual([])
  })

  it('so is he whose session ends while he looks', async () => {
    const { page } = await open()
    aggregator.state.viewer = undefined
    await page.getByLabel('7 days').check()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    expect(await page.getByRole('table').filter({ visible: true }).count()).toBe(0)
  })
})

describe('faults', () => {
  it.each([
    [{ status: 503, code: 'HW_BUSY', message: 'too much at once', retryAfterS: 5 }, 'busy', '5 s'],
    [
      { status: 500, code: 'HW_INTERNAL', message: 'see the log' },
      'failed to answer',
      'see the log',
    ],
    [{ status: 502, code: '', message: '' }, 'failed to answer', ''],
  ])('%j is said once, and trying again shows the figures', async (fails, words, detail) => {
    aggregator.state.fails = fails
    const { page } = await open()
    const alert = page.getByRole('alert').filter({ visible: true })
    expect(await alert.count()).toBe(1)
    expect(await alert.innerText()).toContain(words)
    expect(await alert.innerText()).toContain(detail)
    await screenshot(page, `error-${fails.status}`)
    expect(await violations(page)).toEqual([])
    aggregator.state.fails = undefined
    await page.getByRole('button', { name: 'Try again' }).click()
    await shown(page)
    expect(await alert.count()).toBe(0)
    expect(await page.locator('.plot').filter({ visible: true }).count()).toBe(1)
    expect(await page.getByRole('region', { name: 'Users' }).getByRole('row').count()).toBe(12)
  })

  it('an aggregator that is gone is said, and the page works on when it is back', async () => {
    const { page } = await open()
    await page.context().setOffline(true)
    await page.getByLabel('7 days').check()
    await shown(page)
    const alert = page.getByRole('alert').filter({ visible: true })
    expect(await alert.innerText()).toContain('does not answer')
    await page.context().setOffline(false)
    await page.getByLabel('24 h').check()
    await shown(page)
    expect(await alert.count()).toBe(0)
    expect(await page.locator('.plot').filter({ visible: true }).count()).toBe(1)
  })

  it('what takes its time is said, and what is no longer wanted does not come', async () => {
    const { page } = await open()
    const wait = held()
    aggregator.state.hold = wait.promise
    await page.getByLabel('12 months').check()
    const status = page.getByRole('status')
    expect(await status.innerText()).toBe('Loading …')
    expect(await page.locator('[aria-busy]').count()).toBeGreaterThan(3)
    aggregator.state.hold = undefined
    await page.getByLabel('24 h').check()
    await shown(page)
    const text = await tileOf(page, 'Containers').innerText()
    wait.resolve()
    // The old answers were sent before these are asked for.
    for (let more = 0; more < 3; more++)
      await page.evaluate('fetch("/v1/usage?since=0").then((reply) => reply.text())')
    expect(await tileOf(page, 'Containers').innerText()).toBe(text)
    await eventually(async () => (await status.innerText()).startsWith(`${text} containers`))
  })
})

describe('hostile names', () => {
  const HOSTILE = [
    '<img src=x onerror="window.hacked=1">',
    '"><script>window.hacked=1</script>',
    'javascript:window.hacked=1',
    "'-window.hacked=1-'",
    '${window.hacked=1}',
    '</title><svg onload=window.hacked=1>',
    '=HYPERLINK("http://evil.example","x")',
    `${'A'.repeat(900)}\u202Egnp.exe`,
    '__proto__',
    'url(javascript:window.hacked=1);background:red',
  ]

  it.each(['', '?by=image', '?by=user&measure=runs', '?job=66'])(
    'are text wherever they stand: %s',
    async (search) => {
      aggregator.state.records = HOSTILE.map((name, index) =>
        madeUpRecord(
          {
            id: `hostile-${index}`,
            job_id: 66,
            user: name,
            uid: 4000 + index,
            account: name,
            image: name,
            node: name,
            state: 'COMPLETED',
            endedMs: nowMs - index * 1000 - 1,
            elapsedMs: 1_000_000 * (index + 1),
          },
          { reason: name, step_id: name, command: name, labels: { [name]: name }, cluster: name },
        ),
      )
      const { page, complaints } = await open(search)
      await screenshot(page, `hostile${search.replace(/\W/g, '-')}`)
      for (const fold of await page.getByText('Table', { exact: true }).all())
        if (await fold.isVisible()) await fold.click()
      await page.mouse.move(1200, 520) // over the last bars: the tip has names as well
      await page.mouse.move(1225, 540)
      expect(await page.getByText(HOSTILE[0] ?? '', { exact: true }).count()).toBeGreaterThan(0)
      expect(await page.evaluate('window.hacked')).toBeUndefined()
      expect(await page.locator('main img, main script, main iframe').count()).toBe(0)
      expect(await page.locator('a:not([href^="?"]):not([href="#main"])').count()).toBe(0)
      expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true)
      expect(complaints).toEqual([])
    },
  )

  it('in an address are text as well', async () => {
    const name = '"><img src=x onerror="window.hacked=1">'
    const { page, complaints } = await open(
      `?user=${encodeURIComponent(name)}&job=&image=${encodeURIComponent(name)}`,
    )
    expect(await page.evaluate('window.hacked')).toBeUndefined()
    expect(complaints).toEqual([])
  })

  it('do no harm in a file for spreadsheets', async () => {
    aggregator.state.records = [
      madeUpRecord({
        id: 'formula',
        job_id: 66,
        user: '=1+1',
        uid: 1,
        account: null,
        image: '=cmd|/c calc',
        node: 'n1',
        state: 'COMPLETED',
        endedMs: nowMs - 1,
        elapsedMs: 1000,
      }),
    ]
    const { page } = await open()
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'CSV file: all images' }).click(),
    ])
    expect(await readFile(await download.path(), 'utf8')).toContain("\r\n'=cmd|/c calc,1,")
  })
})

describe('by keyboard alone', () => {
  it('everything is reached, in order, and where one is is seen', async () => {
    const { page } = await open()
    const stops: string[] = []
    const FOCUSED = `(() => {
      const one = document.activeElement
      const style = getComputedStyle(one)
      const label = one.labels?.[0]?.innerText ?? one.getAttribute('aria-label') ?? one.innerText
      const seen = style.outlineStyle !== 'none' || getComputedStyle(one.nextElementSibling ?? one).outlineStyle !== 'none'
      return [one.tagName + ' ' + (label ?? '').trim().split('\\n')[0], seen]
    })()`
    for (;;) {
      await page.keyboard.press('Tab')
      const [stop, isSeen] = await page.evaluate<[string, boolean]>(FOCUSED)
      if (stop.startsWith('BODY') || stops.length > 120) break
      expect(isSeen, stop).toBe(true)
      stops.push(stop)
    }
    const inOrder = [
      'A Skip to the figures',
      'A Usage',
      'A A job',
      'INPUT 30 days',
      'INPUT User',
      'INPUT Account',
      'INPUT Image',
      'INPUT Node',
      'INPUT Cluster',
      'SELECT State',
      'BUTTON Show',
      'SELECT Measure',
      'SELECT Split by',
      'SELECT Per',
      'SUMMARY Table',
      'BUTTON CSV file: CPU time used by day and account',
      'A amelie',
      'BUTTON CSV file: all users',
      'BUTTON CSV file: all accounts',
      'BUTTON CSV file: all images',
      'BUTTON CSV file: all nodes',
      'A COMPLETED',
    ]
    expect(stops.filter((stop) => inOrder.includes(stop))).toEqual(inOrder)
  })

  it('a view is chosen, narrowed, read as a table, and a job looked up', async () => {
    const { page, complaints } = await open()
    const press = (...keys: string[]) =>
      keys.reduce<Promise<void>>(
        (done, key) => done.then(() => page.keyboard.press(key)),
        Promise.resolve(),
      )
    await press('Tab', 'Enter', 'Tab') // skip to the figures: the next stop is the form's
    await press('ArrowRight')
    await shown(page)
    expect(new URL(page.url()).searchParams.get('last')).toBe('12mo')
    await press('Tab')
    await page.keyboard.type('amelie')
    await press('Enter')
    await shown(page)
    expect(new URL(page.url()).searchParams.get('user')).toBe('amelie')
    expect(await page.evaluate('document.activeElement.name')).toBe('user') // the focus stays
    while ((await page.evaluate('document.activeElement.tagName')) !== 'SUMMARY') await press('Tab')
    await press('Enter')
    await page.getByRole('table', { name: 'CPU time used by week and account' }).waitFor()
    await page.getByRole('link', { name: 'A job' }).focus()
    await press('Enter')
    await page.getByRole('heading', { level: 1, name: 'A job' }).waitFor()
    await page.getByLabel('Job number').focus()
    await page.keyboard.type('42')
    await press('Enter')
    await page.getByRole('heading', { level: 1, name: 'Job 42' }).waitFor()
    await shown(page)
    await page.getByRole('table', { name: 'Containers of job 42' }).waitFor()
    expect(complaints).toEqual([])
  })
})

describe('for a screen reader', () => {
  it('has landmarks, headings, named tables and pictures with words', async () => {
    const { page } = await open('?last=7d')
    const tree = await page.locator('body').ariaSnapshot()
    for (const line of [
      '- banner:',
      '- navigation "Views":',
      '- main:',
      '- contentinfo:',
      '- search "What is shown":',
      '- heading "Usage" [level=1]',
      '- heading "Usage over time" [level=2]',
      '- region "Users":',
      '- radio "7 days" [checked]',
      '- columnheader "CPU time used (h)"',
      '- rowheader "amelie":',
      '- status:',
    ])
      expect(tree).toContain(line)
    expect(tree).toMatch(
      /img "Stacked bars, one for each day: CPU time used, in all [\d,.]+ h\. Most: /,
    )
    // A chart's inside is not read out bar by bar.
    expect(await page.locator('[role=img] .plot[aria-hidden=true]').count()).toBe(1)
    expect(await page.title()).toBe('Usage · hepwrap')
  })

  it('says what has changed', async () => {
    const { page } = await open()
    await page.getByLabel('24 h').check()
    await shown(page)
    const count = await tileOf(page, 'Containers').innerText()
    await eventually(async () =>
      (await page.getByRole('status').innerText()).startsWith(`${count} containers, `),
    )
  })
})
