// Start is recovery: what a dead daemon left is closed truthfully, row by row, whatever one of them is like.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { HepwrapError } from '../../../src/base/errors.js'
import { openLedger, type Ledger } from '../../../src/accounting/ledger.js'
import type { Engine } from '../../../src/engine/engine.js'
import { createLiveRuns } from '../../../src/run/live-runs.js'
import { createOrphanReaper } from '../../../src/run/orphans.js'
import { recover } from '../../../src/run/recover.js'
import type { RunDeps } from '../../../src/run/run-deps.js'
import { makeRecord } from '../accounting/records.js'
import { fakeClock, fakeEngine, silentLog, someCaller } from './fakes.js'

function deadDaemon(methods: Partial<Engine> = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'hepwrap-recover-'))
  const runs = join(directory, 'run/runs')
  mkdirSync(runs, { recursive: true })
  const ledger = openLedger(join(directory, 'state'))
  onTestFinished(() => {
    ledger.close()
    rmSync(directory, { recursive: true, force: true })
  })
  const removed: string[] = []
  const engine = fakeEngine({
    remove: (id) => {
      removed.push(id)
      return Promise.resolve()
    },
    listOwn: () => Promise.resolve([]),
    ...methods,
  })
  const log = silentLog()
  const live = createLiveRuns(0)
  const deps = {
    ledger,
    engine,
    log,
    live,
    clock: fakeClock(),
    config: { node: { run_dir: join(directory, 'run') } },
    orphans: createOrphanReaper(engine, live, log),
  } as unknown as RunDeps
  return { deps, ledger, removed, runs }
}

const rows = (ledger: Ledger) => [...ledger.read({}, { uid: undefined })].flat()

describe('recovery', () => {
  it('closes what was running and leaves what was closed', async () => {
    const { deps, ledger, removed, runs } = deadDaemon()
    const open = makeRecord()
    const closed = makeRecord({ state: 'COMPLETED', exit_code: 0 })
    ledger.open(open, { placement: { version: 1, directories: [] } })
    ledger.open(closed)
    mkdirSync(join(runs, open.id))
    writeFileSync(join(runs, open.id, 'passwd'), '')
    mkdirSync(join(runs, 'f'.repeat(32))) // of a run whose row was closed, or never written
    await recover(deps)
    expect(rows(ledger)).toEqual([
      {
        ...open,
        state: 'NODE_FAIL',
        reason: 'HW_DAEMON_RESTARTED',
        exit_code: 125,
        ended_at: '1970-01-01T00:00:01.000Z',
      },
      closed,
    ])
    expect(removed).toEqual([`hepwrap-${open.id}`])
    expect(existsSync(join(runs, open.id))).toBe(false)
    expect(existsSync(join(runs, 'f'.repeat(32)))).toBe(false)
  })

  it('that lasts longer than the daemon waits for it touches nothing of a run that has begun meanwhile', async () => {
    const { deps, runs } = deadDaemon()
    const { id } = makeRecord()
    deps.live.add({ runId: id, caller: someCaller(), jobId: undefined })
    mkdirSync(join(runs, id))
    await recover(deps)
    expect(existsSync(join(runs, id))).toBe(true)
  })

  it('is done once, and again without harm', async () => {
    const { deps, ledger } = deadDaemon()
    ledger.open(makeRecord(), { placement: { version: 1, directories: [] } })
    await recover(deps)
    const first = rows(ledger)
    await recover(deps)
    expect(rows(ledger)).toEqual(first)
  })

  it('takes a note that is none for one that says nothing', async () => {
    const { deps, ledger } = deadDaemon()
    for (const placement of [
      undefined,
      null,
      7,
      {},
      { version: 3, directories: [] },
      { version: 1, directories: 'x' },
    ])
      ledger.open(makeRecord(), { placement })
    await recover(deps)
    expect(rows(ledger).map(({ state }) => state)).toEqual(Array(6).fill('NODE_FAIL'))
  })

  it('closes the records though the engine is down, and remembers that containers may be left', async () => {
    let isDown = true
    const answer = <T>(value: T) =>
      isDown ? Promise.reject(new Error('down')) : Promise.resolve(value)
    const { deps, ledger } = deadDaemon({
      remove: () => answer(undefined),
      listOwn: () => answer([]),
    })
    ledger.open(makeRecord())
    await recover(deps)
    expect(rows(ledger)[0]?.state).toBe('NODE_FAIL')
    isDown = false
    await deps.orphans.sweep()
  })

  it('goes on where one row cannot be closed, and sweeps all the same', async () => {
    let swept = 0
    const { deps, ledger, runs } = deadDaemon({
      listOwn: () => {
        swept++
        return Promise.resolve([])
      },
    })
    const [stuck, fine] = [makeRecord(), makeRecord()]
    ledger.open(stuck)
    ledger.open(fine)
    mkdirSync(join(runs, stuck.id))
    const change: Ledger['change'] = (id, fields) => {
      if (id === stuck.id) throw new HepwrapError('HW_LEDGER_UNAVAILABLE', 'disk full')
      return ledger.change(id, fields)
    }
    await recover({ ...deps, ledger: { ...ledger, change } })
    expect(rows(ledger).map(({ state }) => state)).toEqual(['RUNNING', 'NODE_FAIL'])
    expect(swept).toBe(1)
    expect(existsSync(join(runs, stuck.id))).toBe(false)
  })
})
