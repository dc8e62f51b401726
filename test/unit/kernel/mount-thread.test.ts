import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, it } from 'vitest'

it('a waiting mount thread keeps no process alive', () => {
  const built = join(import.meta.dirname, '../../../dist/kernel/mount-thread.js')
  const script = `import { startMountThread } from ${JSON.stringify(built)}
    startMountThread()
    await new Promise((resolve) => setTimeout(resolve, 500))
    console.log('done')`
  const argv = ['--input-type=module', '-e', script]
  expect(execFileSync(process.execPath, argv, { encoding: 'utf8', timeout: 15_000 })).toBe('done\n')
})
