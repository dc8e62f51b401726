// What the engine room promises, whatever engine is behind it: one suite, called for each by a test file of its own.
import { describe } from 'vitest'
import { testEngine, type TestEngine } from '../../world/engine.js'
import { containerContract } from './containers.js'
import { requestContract } from './create-request.js'
import { imageContract } from './images.js'

/** Of the engine that this world has, which is to be `name`. */
export function engineContract(name: TestEngine['name']): void {
  if (testEngine.name !== name)
    throw new Error(`the engine here is ${testEngine.name}, not ${name}: see test/world/engine.ts`)
  describe(name, () => {
    containerContract(testEngine)
    requestContract(testEngine)
    imageContract(testEngine)
  })
}
