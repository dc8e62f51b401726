// What crosses between the store and its threads.
import type { ReasonCode } from '../../base/errors.js'
import type { Calls, Role } from './calls.js'

export interface ThreadStart {
  readonly path: string
  readonly role: Role
}

export interface Call {
  readonly id: number
  readonly name: keyof Calls
  readonly args: readonly unknown[]
}

/** `code` undefined: a fault of ours. */
export type Reply =
  | { readonly id: number; readonly value: unknown }
  | {
      readonly id: number
      readonly error: { readonly code: ReasonCode | undefined; readonly message: string }
    }

/** The reply that comes by itself, once the file is open. */
export const OPENED = 0
