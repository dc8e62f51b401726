// One entry of [mounts] always: "SRC:DST[:ro|:rw]"; a "?" behind SRC or behind the whole entry: SRC may be absent.

export interface AlwaysEntry {
  readonly source: string
  readonly target: string
  readonly readOnly: boolean
  /** Left out with a log line where the source is absent. */
  readonly optional: boolean
}

const PATH = '(?:/(?!\\.{1,2}(?:[/:?]|$))[^/:?\\u0000-\\u001f\\u007f]+)+'

export const ALWAYS_ENTRY_PATTERN = `^(${PATH})(\\??):(${PATH})(:ro|:rw)?(\\??)$`

const PARSER = new RegExp(ALWAYS_ENTRY_PATTERN)

/** The entry in its parts, read-write unless it says ro; undefined where it is malformed (the schema refuses it by the same pattern). */
export function parseAlwaysEntry(text: string): AlwaysEntry | undefined {
  const [, source, mark, target, mode, endMark] = PARSER.exec(text) ?? []
  if (source === undefined || target === undefined) return undefined
  return { source, target, readOnly: mode === ':ro', optional: mark === '?' || endMark === '?' }
}
