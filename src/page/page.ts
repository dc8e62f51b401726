// The page's first lines: who looks, and which view the address says.
import { systemClock } from '../base/clock.js'
import { AskError, askViewer, type Viewer } from './ask.js'
import { zoneName } from './dates.js'
import { byId, element } from './elements.js'
import { openJobView } from './job-view.js'
import { failureNotice } from './panels.js'
import { openUsageView, type OpenView, type ViewContext } from './usage-view.js'
import { searchOf, type View, viewOf } from './view.js'

const main = byId('main', HTMLElement)
const content = byId('content', HTMLElement)
const notice = byId('notice', HTMLElement)
const said = byId('said', HTMLElement)

byId('zone', HTMLElement).textContent =
  `Times of day are shown in ${zoneName(systemClock.nowMs())}.`
openPage().catch(showFailure)

async function openPage(): Promise<void> {
  const viewer = await askViewer(new AbortController().signal)
  byId('viewer', HTMLElement).replaceChildren(...viewerWords(viewer))
  const context: ViewContext = {
    viewer,
    nowMs: () => systemClock.nowMs(),
    say: (words) => (said.textContent = words),
    again: () => show(),
    go: (view) => {
      if (searchOf(view) === searchOf(viewOf(location.search))) return
      history.pushState(null, '', searchOf(view))
      show()
    },
  }
  const views = { usage: openUsageView(context), job: openJobView(context) }
  content.replaceChildren(views.usage.element, views.job.element)
  content.hidden = false

  function show(): void {
    const view = viewOf(location.search)
    const isJob = view.job !== undefined
    views.usage.element.hidden = isJob
    views.job.element.hidden = !isJob
    mark(view)
    const open: OpenView = isJob ? views.job : views.usage
    open.show(view).catch(showFailure)
  }

  addEventListener('popstate', show)
  addEventListener('click', (event) => {
    const link = linkOf(event)
    if (link === undefined) return
    event.preventDefault()
    const wasJob = viewOf(location.search).job !== undefined
    history.pushState(null, '', link.search === '' ? '?' : link.search)
    show()
    // What is above the figures has changed: who reads with ears or keys begins there.
    if (wasJob !== (viewOf(location.search).job !== undefined)) main.focus()
  })
  show()
}

function viewerWords({ user, uid, operator }: Viewer): readonly (Node | string)[] {
  return [
    element('strong', {}, user ?? `uid ${uid}`),
    operator ? " · operator: everybody's containers" : ' · your own containers',
  ]
}

/** Links to other views of this page need no loading of it. */
function linkOf(event: MouseEvent): HTMLAnchorElement | undefined {
  const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey
  const link = event.target instanceof Element ? event.target.closest('a') : null
  if (!isPlain || event.altKey || link === null) return undefined
  return (link.getAttribute('href') ?? '').startsWith('?') ? link : undefined
}

function mark(view: View): void {
  const isJob = view.job !== undefined
  const toUsage = byId('to-usage', HTMLAnchorElement)
  const toJob = byId('to-job', HTMLAnchorElement)
  toUsage.href = searchOf({ ...view, job: undefined })
  toJob.href = searchOf({ ...view, job: view.job ?? '' })
  const [here, there] = isJob ? [toJob, toUsage] : [toUsage, toJob]
  here.setAttribute('aria-current', 'page')
  there.removeAttribute('aria-current')
  const job = view.job === '' ? 'A job' : `Job ${view.job ?? ''}`
  document.title = `${isJob ? job : 'Usage'} · hepwrap`
}

function showFailure(error: unknown): void {
  content.hidden = true
  said.textContent = ''
  notice.hidden = false
  const isSignedOut = error instanceof AskError && error.failure === 'signed-out'
  notice.replaceChildren(
    ...(isSignedOut ? signInWords(error) : [failureNotice(error, () => location.reload())]),
  )
}

function signInWords(error: AskError): readonly Node[] {
  return [
    element('h1', {}, 'Sign in'),
    element(
      'p',
      {},
      'Figures are shown to those whom the site knows, and each sees his own. On a node of the cluster, type',
    ),
    element('pre', {}, element('code', {}, 'hepwrap page')),
    element(
      'p',
      {},
      'It prints a link that signs this browser in. The link works once; a session ends by itself, and then you do the same again.',
    ),
    element(
      'p',
      { class: 'detail' },
      `${error.message} ${error.code === undefined ? '' : `(${error.code})`}`,
    ),
  ]
}
