// Errors of the system by their names.

/** Reports whether `thrown` is an error of Node's with one of these codes: "EAGAIN". */
export const hasCode = (thrown: unknown, ...codes: readonly string[]): boolean =>
  thrown instanceof Error && 'code' in thrown && codes.includes(String(thrown.code))
