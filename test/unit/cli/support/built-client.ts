// The client as users start it: bundled by the build's own script, into a directory of the test's own.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../../..', import.meta.url))

export interface BuiltClient {
  readonly path: string
  /** Relative to src: what is in the file that `run` loads, and what is in the other. */
  readonly sources: { readonly run: readonly string[]; readonly verbs: readonly string[] }
  remove(): void
}

export function buildClient(): BuiltClient {
  const cache = join(ROOT, '.cache')
  mkdirSync(cache, { recursive: true })
  const built = mkdtempSync(join(cache, 'client-'))
  const output = join(built, 'dist/bin')
  writeFileSync(join(built, 'package.json'), JSON.stringify({ version: '9.8.7' }))
  execFileSync(process.execPath, [join(ROOT, 'bundle-client.js'), output])
  const sourcesOf = (file: string) =>
    [...readFileSync(join(output, file), 'utf8').matchAll(/^modules\['(.+)'\]/gm)].map(
      ([, name]) => `${name ?? ''}.ts`,
    )
  return {
    path: join(output, 'hepwrap.cjs'),
    sources: { run: sourcesOf('hepwrap.cjs'), verbs: sourcesOf('hepwrap-verbs.cjs') },
    remove: () => rmSync(built, { recursive: true, force: true }),
  }
}
