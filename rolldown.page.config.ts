// The page, bundled: a browser loads one script, and nothing at all comes from elsewhere. What the bundle has of others'
// goes with their licences, dist/page/licenses.txt.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Plugin, RolldownOptions } from 'rolldown'

const licences: Plugin = {
  name: 'licences',
  generateBundle(_, bundle) {
    const modules = Object.values(bundle).flatMap((part) =>
      part.type === 'chunk' ? part.moduleIds : [],
    )
    const packages = modules.flatMap(
      (path) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? [],
    )
    const texts = [...new Set(packages)].sort().map(licenceOf)
    this.emitFile({ type: 'asset', fileName: 'licenses.txt', source: texts.join('\n\n') })
  },
}

function licenceOf(directory: string): string {
  const { name, version } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as {
    name: string
    version: string
  }
  const file = readdirSync(directory).find((one) => /^licen[cs]e/i.test(one))
  if (file === undefined) throw new Error(`${name} says no licence, and may not be bundled`)
  return `${name} ${version}\n\n${readFileSync(join(directory, file), 'utf8').trim()}\n`
}

const config: RolldownOptions = {
  input: 'src/page/page.ts',
  platform: 'browser',
  plugins: [licences],
  output: { file: 'dist/page/page.js', format: 'esm', minify: true },
}

export default config
