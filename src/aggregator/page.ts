// The page's files, read once at the start: what is not in this list is not served.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface PageFile {
  readonly type: string
  readonly etag: string
  readonly content: Buffer
}

/** By the path that is asked for: "/", "/page.js". */
export type Page = ReadonlyMap<string, PageFile>

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
}

export const BUILT_PAGE = fileURLToPath(new URL('../page/', import.meta.url))

/** Empty where the page is not built. */
export function readPage(directory: string = BUILT_PAGE): Page {
  const page = new Map<string, PageFile>()
  for (const name of namesIn(directory)) {
    const type = TYPES[extname(name)]
    if (type === undefined) continue
    const content = readFileSync(join(directory, name))
    const etag = `"${createHash('sha256').update(content).digest('base64url')}"`
    page.set(`/${name}`, { type, etag, content })
    if (name === 'index.html') page.set('/', { type, etag, content })
  }
  return page
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}
