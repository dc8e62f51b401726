// What all plots of this page share.

/**
 * A plot as the site's content security policy allows it. Plot puts a <style> element into each; it is taken out before the
 * plot is in the document, so that the policy needs no exception, and page.css says the same of .plot.
 */
export function bare(plot: Element): Element {
  for (const style of plot.querySelectorAll('style')) style.remove()
  plot.setAttribute('aria-hidden', 'true')
  return plot
}

/** Draws now and whenever the width changes. */
export function drawToWidth(host: HTMLElement, draw: (width: number) => Element): void {
  const state = { width: 0 }
  new ResizeObserver(() => {
    const width = Math.floor(host.clientWidth)
    if (width === 0 || width === state.width) return
    state.width = width
    host.replaceChildren(draw(width))
  }).observe(host)
}

/** How what lies under the pointer is told. */
export const TIP = {
  fill: 'var(--panel)',
  stroke: 'var(--axis)',
  fontSize: 12,
  lineHeight: 1.4,
  lineWidth: 60,
}

/** "--state-out-of-memory": page.css has them for light and dark. */
export const stateColour = (state: string): string =>
  `var(--state-${state.toLowerCase().replaceAll('_', '-')}, var(--others))`
