// The client, bundled: Node loads ES modules one by one, which costs 15 ms more, and every task of a wide srun pays for it.
// The daemon is not: it starts once.
import type { OutputOptions, RolldownOptions } from 'rolldown'

const config: Omit<RolldownOptions, 'output'> & { output: OutputOptions } = {
  input: 'src/bin/hepwrap.ts',
  platform: 'node',
  external: ['koffi'], // has a native part; loaded for `run -it` only, and done without where it is not there
  output: {
    dir: 'dist/bin',
    format: 'cjs',
    entryFileNames: 'hepwrap.cjs',
    chunkFileNames: 'hepwrap/[name].cjs', // what `run` does not need stays in files that it does not load
    minify: true,
  },
}

export default config
