import { defineConfig } from 'vitest/config'

// How much longer than a real machine an emulated one may take (test/vm).
const patience = Number(process.env['HEPWRAP_TEST_PATIENCE'] ?? '1')

// Two projects: `unit` needs nothing but Node (and cc for the init); `world` runs inside test/world, against real Slurm and Docker.
export default defineConfig({
  test: {
    restoreMocks: true,
    projects: [
      // Some start programs: a loaded machine takes its time.
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 20_000 } },
      {
        test: {
          name: 'world',
          include: ['test/{integration,slurm,e2e,attack,v2}/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 60_000 * patience,
          hookTimeout: 60_000 * patience,
        },
      },
    ],
  },
})
