// ps, stop and kill: a user's own containers, and nobody else's.
import { afterEach, describe, expect, it } from 'vitest'
import type { ContainerRow } from '../../src/wire/job-api.js'
import { startDaemon, stopDaemons } from '../world/daemon.js'
import { eventually, PATIENCE } from '../world/eventually.js'
import { leftovers, nothing, processes } from '../world/traces.js'
import { as, type Running, type User } from '../world/world.js'
import { complaint, hepwrap, hepwrapRun, recordNamed, startRun } from './job-runs.js'

afterEach(stopDaemons)

/** A container that runs until somebody ends it; `id` is its whole run id. */
async function startSleeper(user: User, name: string, args: string[] = []) {
  const run = startRun(user, ['--name', name, ...args, 'busybox:test', 'sleep', '300'])
  const { id } = await eventually(
    async () => (await containersOf(user)).find((row) => row.name === name && row.started_at),
    { what: `container ${name}` },
  )
  return { run, id }
}

async function containersOf(user: User, ...args: string[]): Promise<ContainerRow[]> {
  const { stdout } = await hepwrap(user, ['ps', '--json', ...args])
  return JSON.parse(stdout) as ContainerRow[]
}

/** A request as any program of the user's can send it, past what the hepwrap command checks. */
async function ask(user: User, method: string, path: string, body?: object) {
  const script = `
    const [method, path, body] = process.argv.slice(1)
    const headers = body ? { 'content-type': 'application/json' } : {}
    require('http').request({ socketPath: '/run/hepwrap/hepwrapd.sock', method, path, headers }, (reply) => {
      let text = ''
      reply.on('data', (piece) => (text += piece))
      reply.on('end', () => console.log(JSON.stringify({ status: reply.statusCode, text })))
    }).end(body)`
  const argv = ['node', '-e', script, method, path, ...(body ? [JSON.stringify(body)] : [])]
  return JSON.parse((await as(user).run(argv)).stdout) as { status: number; text: string }
}

const isAlive = ({ child }: Running) => child.exitCode === null && child.signalCode === null
const sleepers = (uid: number) =>
  processes(/^sleep 300$/).filter((process) => process.uid === uid).length

describe("another user's container", () => {
  it('ACCEPTANCE 6: is never shown to others by ps, and root sees it', async () => {
    await startDaemon()
    const alices = await startSleeper('alice', 'web')
    const bobs = await startSleeper('bob', 'web')
    const ids = async (user: User, ...args: string[]) =>
      (await containersOf(user, ...args)).map(({ id }) => id).sort()

    expect(await ids('alice')).toEqual([alices.id])
    expect(await ids('bob')).toEqual([bobs.id])
    expect(await ids('bob', '-a')).toEqual([bobs.id])
    expect(await ids('root')).toEqual([alices.id, bobs.id].sort())
    const { stdout } = await hepwrap('bob', ['ps', '-a'])
    expect(stdout).toContain(bobs.id.slice(0, 12))
    expect(stdout).not.toContain(alices.id.slice(0, 12))
    expect(stdout).not.toContain('alice')

    await hepwrap('root', ['kill', alices.id, bobs.id])
    await Promise.all([alices.run.result, bobs.run.result])
    expect(await ids('alice')).toEqual([])
    expect(await ids('alice', '-a')).toEqual([alices.id])
    expect(await ids('bob', '-a')).toEqual([bobs.id])
    expect(await leftovers()).toEqual(nothing)
  })

  it('ACCEPTANCE 6: cannot be stopped or killed by full id, prefix, name or empty string', async () => {
    await startDaemon()
    const { run, id } = await startSleeper('alice', 'secret')
    const unknown = (name: string) => [name, id.slice(0, 12), id.slice(0, 4), `${id} `, `${id}/`]
    for (const verb of ['stop', 'kill']) {
      for (const name of [id, ...unknown('secret'), '', '*', '%', '.', '/', `hepwrap-${id}`]) {
        const result = await hepwrap('bob', [verb, name])
        expect(result.status, `${verb} "${name}"`).toBe(1)
        expect(complaint(result), `${verb} "${name}"`).toMatch(/\(HW_(NOT_FOUND|USAGE)\)$/)
        expect(result.stdout).toBe('')
      }
    }
    // Nothing tells a foreign container from one that never was.
    const absent = '0123456789abcdef0123456789abcdef'
    const messages = await Promise.all(
      [id, absent].map(async (wanted) => complaint(await hepwrap('bob', ['stop', wanted]))),
    )
    expect(messages[0]?.replace(id, absent)).toBe(messages[1])

    expect(isAlive(run)).toBe(true)
    expect(sleepers(2001)).toBe(1)
    expect(await recordNamed('secret')).toMatchObject({ state: 'RUNNING', reason: null })
    await hepwrap('alice', ['kill', id])
    expect((await run.result).status).toBe(137)
  })

  it('ACCEPTANCE 6: cannot be reached by requests that the hepwrap command would not send', async () => {
    await startDaemon()
    const { run, id } = await startSleeper('alice', 'secret')
    for (const verb of ['stop', 'kill']) {
      for (const wanted of [
        id,
        id.slice(0, 8),
        'secret',
        '',
        '%20',
        '%2e%2e',
        '..%2f',
        id.toUpperCase(),
      ]) {
        const { status } = await ask('bob', 'POST', `/v1/containers/${wanted}/${verb}`, {})
        expect(status, `${verb} "${wanted}"`).toBe(404)
      }
      const path = `/v1/containers/${id}/${verb}`
      for (const lie of [{ uid: 2001 }, { user: 'alice' }, { uid: 0 }])
        expect((await ask('bob', 'POST', path, lie)).status, JSON.stringify(lie)).toBe(400)
    }
    for (const [method, path] of [
      ['DELETE', `/v1/containers/${id}`],
      ['DELETE', '/v1/containers'],
      ['GET', `/v1/containers/${id}`],
      ['PUT', `/v1/containers/${id}/stop`],
      ['GET', '/v1/containers?all=true&uid=2001'],
      ['GET', '/v1/containers?user=alice'],
    ] as const) {
      const { status, text } = await ask('bob', method, path)
      expect([400, 404, 405], `${method} ${path}`).toContain(status)
      expect(text).not.toContain('secret')
    }
    expect(isAlive(run)).toBe(true)
    expect(sleepers(2001)).toBe(1)
    await hepwrap('alice', ['kill', id])
    await run.result
  })
})

describe('my own container', () => {
  it('is stopped by a prefix of its id: SIGTERM, status 143, state CANCELLED', async () => {
    await startDaemon()
    const { run, id } = await startSleeper('alice', 'mine')
    const { status, stdout } = await hepwrap('alice', ['stop', id.slice(0, 12)])
    expect({ status, stdout }).toEqual({ status: 0, stdout: `${id.slice(0, 12)}\n` })
    // stop answers when nothing is left
    expect(sleepers(2001)).toBe(0)
    expect(await leftovers()).toEqual(nothing)
    expect((await run.result).status).toBe(143)
    expect(await recordNamed('mine')).toMatchObject({
      state: 'CANCELLED',
      reason: 'HW_STOPPED',
      signal: 15,
      exit_code: 143,
    })
    expect(await containersOf('alice')).toEqual([])
  })

  it('is stopped by its name, also where another user has the same', async () => {
    await startDaemon()
    const alices = await startSleeper('alice', 'web')
    const bobs = await startSleeper('bob', 'web')
    expect(await hepwrap('bob', ['stop', 'web'])).toMatchObject({ status: 0, stdout: 'web\n' })
    expect((await bobs.run.result).status).toBe(143)
    expect(isAlive(alices.run)).toBe(true)
    await hepwrap('alice', ['kill', 'web'])
    expect((await alices.run.result).status).toBe(137)

    const long = await startSleeper('alice', 'n'.repeat(255))
    expect((await hepwrap('alice', ['stop', 'n'.repeat(255)])).status).toBe(0)
    expect((await long.run.result).status).toBe(143)
  })

  it('gets the grace of stop -t before SIGKILL when it ignores SIGTERM', async () => {
    await startDaemon()
    const script = 'trap "echo told" TERM; echo ready; while :; do sleep 0.1; done'
    const args = ['--name', 'deaf', 'busybox:test', 'sh', '-c', script]
    const run = startRun('alice', args)
    await eventually(() => run.stdoutSoFar().includes('ready'))
    const { durationMs } = await hepwrap('alice', ['stop', '-t', '1', 'deaf'])
    expect(durationMs).toBeGreaterThan(1000)
    expect(durationMs).toBeLessThan(3000 * PATIENCE)
    expect(await run.result).toMatchObject({ status: 137, stdout: 'ready\ntold\n' })
    expect(await recordNamed('deaf')).toMatchObject({ state: 'CANCELLED', signal: 9 })
  })

  it('gets the signal that kill -s names, and goes on if it handles it', async () => {
    await startDaemon()
    const script = 'trap "echo usr1" USR1; echo ready; while :; do sleep 0.1; done'
    const run = startRun('alice', ['--name', 'loop', 'busybox:test', 'sh', '-c', script])
    await eventually(() => run.stdoutSoFar().includes('ready'))
    for (const name of ['USR1', 'SIGUSR1', 'usr1', '10']) {
      const before = run.stdoutSoFar().length
      expect((await hepwrap('alice', ['kill', '-s', name, 'loop'])).status).toBe(0)
      await eventually(() => run.stdoutSoFar().length > before, { what: name })
    }
    for (const name of ['NOSUCH', '0', '65', '-1', '']) {
      const result = await hepwrap('alice', ['kill', '-s', name, 'loop'])
      expect(result.status, name).toBe(1)
      expect(complaint(result)).toContain('(HW_OPTION_INVALID)')
    }
    expect(isAlive(run)).toBe(true)
    expect((await hepwrap('alice', ['kill', 'loop'])).status).toBe(0)
    expect((await run.result).status).toBe(137)
  })

  it('is one of several that stop takes; an absent one among them is said and does not stop the rest', async () => {
    await startDaemon()
    const one = await startSleeper('alice', 'one')
    const two = await startSleeper('alice', 'two')
    const result = await hepwrap('alice', ['stop', one.id, 'feedfacefeedface', two.id])
    expect(result).toMatchObject({ status: 1, stdout: `${one.id}\n${two.id}\n` })
    expect(complaint(result)).toContain('"feedfacefeedface"')
    await Promise.all([one.run.result, two.run.result])
    expect(await leftovers()).toEqual(nothing)
  })

  it('is gone for stop and kill once it has ended', async () => {
    await startDaemon()
    await hepwrapRun('alice', ['--name', 'brief', 'busybox:test', 'true'])
    const { id } = await recordNamed('brief')
    for (const verb of ['stop', 'kill'])
      expect(complaint(await hepwrap('alice', [verb, id]))).toContain('(HW_NOT_FOUND)')
  })
})
