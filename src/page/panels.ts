// A part of the page that asks for its own figures: loading, shown, empty, failed; one that fails leaves the others alone.
import { AskError } from './ask.js'
import { type Child, element } from './elements.js'

export interface Panel {
  readonly element: HTMLElement
  readonly tools: HTMLElement
  /** Resolves when the figures, or why there are none, are on the page. Rejects where nobody is signed in. */
  show(load: (signal: AbortSignal) => Promise<readonly Child[]>): Promise<void>
}

/** `again` is what a click on "Try again" does: all of the page, because what failed was seldom asked for one part. */
export function openPanel(title: string, again: () => void, kind = ''): Panel {
  const id = `panel-${title.toLowerCase().replaceAll(/[^a-z]+/g, '-')}`
  const heading = element('h2', { id }, title)
  const tools = element('div', { class: 'tools' })
  const body = element('div', { class: 'body' })
  const section = element(
    'section',
    { class: `panel ${kind}`, 'aria-labelledby': id },
    element('div', { class: 'head' }, heading, tools),
    body,
  )
  const state: { asking: AbortController | undefined } = { asking: undefined }

  async function show(load: (signal: AbortSignal) => Promise<readonly Child[]>): Promise<void> {
    state.asking?.abort()
    const asking = new AbortController()
    state.asking = asking
    section.setAttribute('aria-busy', 'true')
    if (body.childElementCount === 0) body.append(element('p', { class: 'wait' }, 'Loading …'))
    try {
      const children = await load(asking.signal)
      if (!asking.signal.aborted)
        body.replaceChildren(...children.filter((child) => child !== undefined))
    } catch (error) {
      if (asking.signal.aborted) return
      if (error instanceof AskError && error.failure === 'signed-out') throw error
      body.replaceChildren(failureNotice(error, again))
    } finally {
      if (state.asking === asking) section.removeAttribute('aria-busy')
    }
  }

  return { element: section, tools, show }
}

export const emptyNotice = (words: string): HTMLElement =>
  element('div', { class: 'empty' }, element('p', {}, words))

const FAILURES: Readonly<Record<string, string>> = {
  busy: 'The aggregator is busy.',
  refused: 'The aggregator refuses this question.',
  broken: 'The aggregator failed to answer.',
  unreachable: 'The aggregator does not answer. Is the network there?',
}

export function failureNotice(error: unknown, again: () => void): HTMLElement {
  const failure = error instanceof AskError ? error : undefined
  const button = element('button', { type: 'button' }, 'Try again')
  button.addEventListener('click', again)
  const detail = [failure?.message ?? String(error), failure?.code && `(${failure.code})`]
  return element(
    'div',
    { class: 'failure', role: 'alert' },
    element(
      'p',
      {},
      element('strong', {}, FAILURES[failure?.failure ?? ''] ?? 'This page failed.'),
    ),
    element('p', { class: 'detail' }, detail.filter((word) => word !== undefined).join(' ')),
    failure?.retryAfterS === undefined
      ? undefined
      : element('p', {}, `It asks for ${failure.retryAfterS} s of patience.`),
    button,
  )
}
