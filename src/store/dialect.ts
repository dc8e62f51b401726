// Where the two databases' SQL differs; everything else of a question is one text for both.

export type SqlValue = string | number | null

/** SQL and its values as it is put together: `bind` gives the placeholder that stands for a value. */
export interface Binding {
  readonly values: SqlValue[]
  bind(value: SqlValue): string
}

export interface Dialect {
  binding(): Binding
  /** A text that equals, or for globs matches. */
  glob(column: string, pattern: string, binding: Binding): string
  /** A sum that neither overflows nor is a text in the result. */
  sum(column: string): string
  /** An exact sum of whole numbers. */
  wholeSum(column: string): string
  /** The month's begin of a column of hours since the epoch, as the same. */
  monthOf(column: string): string
  /** A join whose left side is gone through first, where the database would take an order for granted. */
  readonly join: string
  /** Behind a text column that is compared or sorted: by its bytes. */
  readonly bytewise: string
}

export function anyOf(
  dialect: Dialect,
  binding: Binding,
  column: string,
  names: readonly string[],
): string {
  const isGlob = (name: string) => /[*?]/.test(name)
  const exact = names.filter((name) => !isGlob(name))
  const conditions = names.filter(isGlob).map((glob) => dialect.glob(column, glob, binding))
  if (exact.length > 0)
    conditions.push(`${column} IN (${exact.map((name) => binding.bind(name)).join(', ')})`)
  return `(${conditions.join(' OR ')})`
}
