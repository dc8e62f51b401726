// What hepwrap itself says: one line on stderr, `hepwrap: text (CODE)`. Never on stdout, and never more than a line but
// for the report of --dry-run.
import { writeSync } from 'node:fs'

export const messageLine = (text: string, code?: string): Buffer =>
  Buffer.from(`hepwrap: ${oneLine(text)}${code === undefined ? '' : ` (${oneLine(code)})`}\n`)

export function say(text: string, code?: string): void {
  writeAll(messageLine(text, code))
}

/** Whole lines on stderr, for what is no container's output and longer than a message. */
export const sayLines = (lines: string): void => writeAll(Buffer.from(lines))

function writeAll(bytes: Buffer): void {
  try {
    for (let at = 0; at < bytes.length;) at += writeSync(2, bytes, at)
  } catch {
    // stderr is closed or full: there is nobody to tell
  }
}

/** Control characters, also the invisible ones that turn text around, become spaces: no message steers a terminal. */
export const oneLine = (text: string): string =>
  text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+/g, ' ')
