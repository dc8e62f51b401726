// The real Chromium of the test world, and a page of it that tells what it complained about.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import axe, { type AxeResults } from 'axe-core'
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from 'playwright-core'
import { eventually } from '../../world/eventually.js'

export interface Visit {
  readonly page: Page
  readonly context: BrowserContext
  /** Errors and warnings of the console, refusals of the security policy, exceptions, dialogs. */
  readonly complaints: string[]
}

/** No sandbox: a container's root may make no namespaces. What a sandbox protects from does not come to these tests. */
export const startBrowser = (): Promise<Browser> =>
  chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] })

export async function visit(browser: Browser, options: BrowserContextOptions = {}): Promise<Visit> {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 900 },
    timezoneId: 'Europe/Berlin',
    locale: 'en-GB',
    ...options,
  })
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(`exception: ${error.message}`))
  page.on('requestfailed', (request) => {
    // What is no longer wanted is called off; that is no fault.
    const text = request.failure()?.errorText ?? ''
    if (text !== 'net::ERR_ABORTED') complaints.push(`${text}: ${request.url()}`)
  })
  page.on('dialog', (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  page.setDefaultTimeout(15_000)
  return { page, context, complaints }
}

/** All figures that were asked for are on the page. */
export async function shown(page: Page): Promise<void> {
  await page.locator('main h1:visible').waitFor()
  // A chart is drawn when its place knows its width, a moment after it is there.
  const missing = `[...document.querySelectorAll('[aria-busy], .chart:empty')]
    .filter((one) => one.offsetParent !== null).length`
  await eventually(async () => (await page.evaluate<number>(missing)) === 0, {
    what: 'the figures',
  })
}

/** What axe-core (WCAG 2.2 A and AA, and its best practices) finds wrong, with where. */
export async function violations(page: Page): Promise<readonly string[]> {
  await page.evaluate(axe.source)
  const found = await page.evaluate<AxeResults>('axe.run(document)')
  return found.violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${target.join(' ')} ${failureSummary ?? ''}`),
  )
}

/** For people who look: kept where HEPWRAP_SCREENSHOTS says, a directory of the world. */
export async function screenshot(page: Page, name: string, fullPage = true): Promise<void> {
  const directory = process.env['HEPWRAP_SCREENSHOTS']
  if (directory === undefined) return
  mkdirSync(directory, { recursive: true })
  await page.screenshot({ path: join(directory, `${name}.png`), fullPage })
}
