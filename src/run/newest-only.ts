// A queue of length one: a client may ask for more than the engine can do, and only its newest wish counts.

/** Runs `work` for one value at a time; of the values that come meanwhile only the newest is kept. `work` must not reject. */
export function newestOnly<T>(work: (value: T) => Promise<void>): (value: T) => Promise<void> {
  let next: { readonly value: T } | undefined
  let working: Promise<void> | undefined

  const workOff = async () => {
    while (next !== undefined) {
      const { value } = next
      next = undefined
      await work(value)
    }
    working = undefined
  }
  return (value) => {
    next = { value }
    working ??= workOff()
    return working
  }
}
