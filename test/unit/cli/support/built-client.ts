// The client as users start it: bundled as the build does it, into a directory of the test's own.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { build, type OutputChunk } from 'rolldown'
import config from '../../../../rolldown.config.js'

const ROOT = join(import.meta.dirname, '../../../..')

export interface BuiltClient {
  readonly path: string
  /** Relative to src: what is in the files that `run` loads, and what is in the others. */
  readonly sources: { readonly run: readonly string[]; readonly verbs: readonly string[] }
  remove(): void
}

export async function buildClient(): Promise<BuiltClient> {
  const cache = join(ROOT, '.cache')
  mkdirSync(cache, { recursive: true })
  const built = mkdtempSync(join(cache, 'client-'))
  const { output } = await build({ ...config, output: { ...config.output, dir: built } })
  const chunks = output.filter((file) => file.type === 'chunk')
  const loaded = loadedForRun(chunks)
  const sourcesOf = (some: OutputChunk[]) =>
    some
      .flatMap(({ moduleIds }) => moduleIds)
      .filter((path) => !path.startsWith('\0')) // the bundler's own
      .map((path) => relative(join(ROOT, 'src'), path))
  return {
    path: join(built, 'hepwrap.cjs'),
    sources: {
      run: sourcesOf(chunks.filter((chunk) => loaded.has(chunk))),
      verbs: sourcesOf(chunks.filter((chunk) => !loaded.has(chunk))),
    },
    remove: () => rmSync(built, { recursive: true, force: true }),
  }
}

/** The entry, the verb, and all that they import at once. */
function loadedForRun(chunks: OutputChunk[]): Set<OutputChunk> {
  const loaded = new Set(
    chunks.filter(
      ({ isEntry, facadeModuleId }) => isEntry || facadeModuleId?.endsWith('/cli/run.ts') === true,
    ),
  )
  for (const { imports } of loaded)
    for (const chunk of chunks) if (imports.includes(chunk.fileName)) loaded.add(chunk)
  return loaded
}
