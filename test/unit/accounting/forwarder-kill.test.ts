// A daemon that forwards is killed at any instant, again and again, while the aggregator loses replies and says that it is busy:
// every record that the ledger has is at the receiver, once, as the ledger has it.
import { rmSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../../world/eventually.js'
import { buildRooms, startProgram } from './ledger-program.js'
import { makeDirectory, makeLedger, makeRecord } from './records.js'
import { recordOf, refuse, startSmallAggregator, take } from './small-aggregator.js'

const KILLS = 25

/** Opens and changes records for ever, and forwards them meanwhile. */
const FORWARDING = `
  import { writeSync } from 'node:fs'
  import { openLedger } from './accounting/ledger.js'
  import { startForwarder } from './accounting/forwarder.js'
  import { openUpstream } from './upstream/upstream.js'
  import { systemClock } from './base/clock.js'
  import { createLogger } from './base/log.js'
  import { newRunId } from './base/ids.js'
  const [directory, port, template, mode] = process.argv.slice(1)
  const ledger = openLedger(directory)
  for (const { record } of ledger.unfinished()) ledger.change(record.id, { state: 'NODE_FAIL' })
  const signer = { sign: async () => 'Test' }
  const upstream = openUpstream({ url: 'http://127.0.0.1:' + port, auth: 'token', signer })
  const log = createLogger('fatal', 'test')
  startForwarder({ ledger, upstream, cluster: 'hepp', node: 'n1', clock: systemClock, log, random: () => 0.02, gatherMs: 1 })
  writeSync(1, 'begins\\n')
  const write = () => {
    const id = newRunId()
    ledger.open({ ...JSON.parse(template), id })
    if (Math.random() < 0.5) ledger.change(id, { image_id: 'sha256:1' })
    if (Math.random() < 0.9) ledger.change(id, { state: 'COMPLETED', exit_code: 0 })
    setTimeout(write, Math.random() * 4)
  }
  if (mode === 'write') write()
  else setInterval(() => ledger.outbox.unsent().count === 0 && process.exit(0), 10)`

let rooms: string
beforeAll(() => {
  rooms = buildRooms()
})
afterAll(() => rmSync(rooms, { recursive: true, force: true }))

describe('a daemon that is killed while it forwards', () => {
  it(
    `has everything at the aggregator once, after ${KILLS} kills`,
    { timeout: 90_000 },
    async () => {
      const directory = makeDirectory()
      const aggregator = await startSmallAggregator()
      let taken = 0
      aggregator.misbehave = (asked, reply) => {
        const luck = Math.random()
        if (luck < 0.1) return refuse(reply, 503, 'HW_AGGREGATOR_BUSY')
        if (luck > 0.2) return false
        if (asked.after <= (aggregator.acked.get(asked.ledger) ?? 0)) take(aggregator, asked)
        taken += 1
        reply.destroy()
        return true
      }
      const life = (mode: 'write' | 'drain') =>
        startProgram(
          rooms,
          FORWARDING,
          directory,
          String(aggregator.port),
          JSON.stringify(makeRecord()),
          mode,
        )
      for (let kill = 0; kill < KILLS; kill++) {
        const program = life('write')
        await program.speaks
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 120))
        program.child.kill('SIGKILL')
        await program.ended
      }
      await eventually(() => taken > 0)
      const last = life('drain')
      await last.ended
      expect(last.child.exitCode).toBe(0)

      const ledger = makeLedger(directory)
      const own = [...ledger.read({}, { uid: undefined })].flat()
      const theirs = new Map([...aggregator.records].map(([id, line]) => [id, recordOf(line)]))
      expect(own.length).toBeGreaterThan(KILLS)
      expect(theirs).toEqual(new Map(own.map((record) => [record.id, record])))
      expect([...aggregator.acked.keys()]).toEqual([ledger.outbox.ledgerId()])
      await aggregator.close()
    },
  )
})
