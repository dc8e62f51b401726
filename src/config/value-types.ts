// Kinds of values in a configuration file. `expects` completes "must be …" in a message.
import { Type, type TSchema } from '@sinclair/typebox'

// No "." or ".." component, no trailing or doubled slash: what is compared as text must be spelled in one way.
export const PATH = '^(/(?!\\.{1,2}(/|$))[^/\\u0000-\\u001f\\u007f]+)+$'
export const PATH_EXPECTED = 'an absolute path without . or .. or a / at the end'

/** A text with a default. */
export const text = (
  expects: string,
  fallback: string,
  rule: { pattern?: string; maxLength?: number },
) => Type.String({ ...rule, expects, default: fallback })

/** A table whose keys are known, all of them. */
export const section = <T extends Record<string, TSchema>>(keys: T) =>
  Type.Object(keys, { additionalProperties: false, expects: 'a table', default: {} })

export type Frozen<T> = T extends readonly (infer Item)[]
  ? readonly Frozen<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Frozen<T[Key]> }
    : T

export const flag = (fallback?: boolean) =>
  Type.Boolean({ expects: 'true or false', ...asDefault(fallback) })

export const count = (minimum: number, maximum: number, fallback?: number) =>
  Type.Integer({
    minimum,
    maximum,
    expects: `a whole number from ${minimum} to ${maximum}`,
    ...asDefault(fallback),
  })

/** One of these words. */
export const oneOf = <const Words extends readonly [string, ...string[]]>(
  words: Words,
  fallback?: Words[number],
) =>
  Type.Unsafe<Words[number]>(
    Type.String({
      enum: words,
      pattern: `^(${words.join('|')})$`,
      expects: `one of ${words.join(', ')}`,
      ...asDefault(fallback),
    }),
  )

const asDefault = <T>(fallback: T | undefined) =>
  fallback === undefined ? {} : { default: fallback }
