// Polling in place of sleeping.

/** How much longer than a real machine an emulated one may take. */
export const PATIENCE = Number(process.env['HEPWRAP_TEST_PATIENCE'] ?? '1')

export interface Patience {
  timeoutMs?: number
  intervalMs?: number
  /** completes "waited in vain for …" */
  what?: string
}

/** Calls `probe` until it neither throws nor returns false or undefined, and returns its answer. */
export async function eventually<T>(
  probe: () => T | Promise<T>,
  { timeoutMs = 20_000, intervalMs = 20, what = 'it' }: Patience = {},
): Promise<Exclude<T, false | undefined>> {
  const deadlineMs = performance.now() + timeoutMs * PATIENCE
  for (;;) {
    let cause: unknown
    try {
      const answer = await probe()
      if (answer !== undefined && answer !== false) return answer as Exclude<T, false | undefined>
    } catch (error) {
      cause = error
    }
    if (performance.now() > deadlineMs) {
      throw new Error(`waited ${timeoutMs * PATIENCE} ms in vain for ${what}`, { cause })
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs))
  }
}
