// A corner of a cgroup file system made of ordinary files, for what only reads and writes texts.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export interface FakeTree {
  readonly base: string
  write(texts: Readonly<Record<string, string>>): void
  remove(): void
}

export function makeFakeTree(): FakeTree {
  const base = mkdtempSync(join(tmpdir(), 'hepwrap-cgroup-'))
  return {
    base,
    write: (texts) => {
      for (const [path, text] of Object.entries(texts)) {
        mkdirSync(dirname(join(base, path)), { recursive: true })
        writeFileSync(join(base, path), text)
      }
    },
    remove: () => rmSync(base, { recursive: true }),
  }
}
