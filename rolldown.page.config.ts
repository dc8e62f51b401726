// The page, bundled: a browser loads one script, and nothing at all comes from elsewhere.
import type { RolldownOptions } from 'rolldown'

const config: RolldownOptions = {
  input: 'src/page/page.ts',
  platform: 'browser',
  output: { file: 'dist/page/page.js', format: 'esm', minify: true },
}

export default config
