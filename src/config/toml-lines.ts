// Where a key of a TOML text stands: the parser gives values, messages need lines. Reads only texts that the parser has accepted.

/** Line numbers (from 1) by path, its parts joined by a line feed: ["images", "allow", "2"] is the third element of images.allow. */
export type TomlLines = ReadonlyMap<string, number>

/** The line of the longest prefix of `path` that stands in the text; line 1 where none does. */
export function lineOf(lines: TomlLines, path: readonly string[]): number {
  for (let length = path.length; length > 0; length--) {
    const line = lines.get(path.slice(0, length).join('\n'))
    if (line !== undefined) return line
  }
  return 1
}

export function readTomlLines(text: string): TomlLines {
  const lines = new Map<string, number>()
  const cursor = { text, at: 0, line: 1 }
  const lengths = new Map<string, number>()
  let section: string[] = []
  while (cursor.at < text.length) {
    const token = nextToken(cursor)
    if (token === undefined) break
    if (token === '\n') continue
    if (token === '[') {
      const isElement = cursor.text[cursor.at] === '['
      section = indexed(readKey(cursor, ']'), isElement, lengths)
      note(lines, section, cursor.line)
    } else {
      const key = [...section, ...readKey(cursor, '=', token)]
      note(lines, key, cursor.line)
      skipValue(cursor, (index, line) => note(lines, [...key, String(index)], line))
    }
  }
  return lines
}

interface Cursor {
  readonly text: string
  at: number
  line: number
}

/** The key of a header with the place of each array of tables on its way: [[rule]] for the second time is rule.1. */
function indexed(
  key: readonly string[],
  isElement: boolean,
  lengths: Map<string, number>,
): string[] {
  const path: string[] = []
  for (const [index, part] of key.entries()) {
    path.push(part)
    const name = path.join('\n')
    const isNext = isElement && index === key.length - 1
    if (isNext) lengths.set(name, (lengths.get(name) ?? 0) + 1)
    const length = lengths.get(name)
    if (length !== undefined) path.push(String(length - 1))
  }
  return path
}

/** The first mention counts: a later [section.sub] does not move [section]. */
function note(lines: Map<string, number>, path: readonly string[], line: number): void {
  for (let length = 1; length <= path.length; length++) {
    const name = path.slice(0, length).join('\n')
    if (!lines.has(name)) lines.set(name, line)
  }
}

// A quoted text (with its quotes), a comment (skipped with the blanks), a run of bare characters, or one mark.
const TOKEN =
  /[ \t\r]+|#[^\n]*|"""(?:\\[^]|[^\\])*?"{3,5}|'''[^]*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|[^\s#"'[\]{}=,.]+|[^]/y

function nextToken(cursor: Cursor): string | undefined {
  for (;;) {
    TOKEN.lastIndex = cursor.at
    const token = TOKEN.exec(cursor.text)?.[0]
    if (token === undefined) return undefined
    cursor.at += token.length
    cursor.line += newlines(token)
    if (!/^[ \t\r#]/.test(token)) return token
  }
}

/** Reads a bare, quoted or dotted key up to `end` ("=" or "]"); doubled brackets of an array of tables count as one. */
function readKey(cursor: Cursor, end: string, first?: string): string[] {
  const parts: string[] = []
  let token = first ?? nextToken(cursor)
  while (token !== undefined && token !== end) {
    if (token !== '.' && token !== '[') parts.push(unquoteKey(token))
    token = nextToken(cursor)
  }
  if (end === ']' && cursor.text[cursor.at] === ']') nextToken(cursor)
  return parts
}

function unquoteKey(token: string): string {
  if (token.startsWith("'")) return token.slice(1, -1)
  if (!token.startsWith('"')) return token
  try {
    return String(JSON.parse(token))
  } catch {
    return token.slice(1, -1) // TOML's \UXXXXXXXX and \e, which JSON has not: the line of the section will do
  }
}

/** Skips to the end of the value's last line; tells where each element of an array begins. */
function skipValue(cursor: Cursor, onElement: (index: number, line: number) => void): void {
  const open: string[] = []
  let index = 0
  let awaited = false
  for (let token = nextToken(cursor); token !== undefined; token = nextToken(cursor)) {
    if (token === '\n') {
      if (open.length === 0) return
      continue
    }
    if (CLOSING.has(token)) open.pop()
    else if (token === ',') awaited = open.length === 1
    else if (awaited) {
      onElement(index++, cursor.line - newlines(token))
      awaited = false
    }
    if (!OPENING.has(token)) continue
    open.push(token)
    awaited = open.length === 1 && token === '['
  }
}

const OPENING = new Set(['[', '{'])
const CLOSING = new Set([']', '}'])

const newlines = (token: string): number => token.split('\n').length - 1
