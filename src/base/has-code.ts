// Errors of the system by their names, from Node or from our own foreign calls.

/** Reports whether `thrown` is a failed call with one of these errno names: "EAGAIN". */
export const hasCode = (thrown: unknown, ...codes: readonly string[]): boolean =>
  thrown instanceof Error && 'code' in thrown && codes.includes(String(thrown.code))
