// Whatever a database can say, as one reason code and a text that names the database and what was tried.
import { HepwrapError } from '../base/errors.js'

export const unavailable = (where: string, cause: unknown): HepwrapError =>
  new HepwrapError('HW_STORE_UNAVAILABLE', `${where}: ${textOf(cause)}`, { cause })

function textOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  // A refused connection to several addresses says nothing by itself.
  if (cause instanceof AggregateError && cause.message === '')
    return cause.errors.map(textOf).join('; ')
  return cause.message
}
