// Credentials by the real munged: what it vouches for, what it refuses, and what happens when it is gone or hangs.
import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../../src/base/clock.js'
import { makeCredential, openCredential } from '../../../src/trust/munge-socket.js'
import { sha256Hex } from '../../../src/trust/request-line.js'
import { openSigner } from '../../../src/trust/sign.js'
import { mungeVerifier } from '../../../src/trust/verify.js'
import { as, expectSuccess, service } from '../../world/world.js'

const munged = () => Number(readFileSync('/run/munge/munged.pid', 'utf8'))
const target = '/v1/records?cluster=hepp&node=n1'
const body = Buffer.from('{"id":"x"}\n')
const signer = openSigner({ auth: 'munge' })
const verifier = mungeVerifier({ clock: systemClock })
const coded = (code: string) => ({ code })

describe('a credential', () => {
  it('says who made it, where and when, around which text', async () => {
    const opened = await openCredential(await makeCredential('täxt'))
    expect(opened).toMatchObject({
      payload: 'täxt',
      uid: 0,
      gid: 0,
      origin: '192.0.2.1',
      ttlMs: 300_000,
    })
    expect(Math.abs((opened as { madeAtMs: number }).madeAtMs - Date.now())).toBeLessThan(60_000)
  })

  it('of munge(1) is opened by us, and ours by unmunge(1)', async () => {
    const theirs = expectSuccess(await as('alice').run(['munge', '-s', 'hello'])).stdout.trim()
    expect(await openCredential(theirs)).toMatchObject({ payload: 'hello', uid: 2001, gid: 2001 })
    const input = await makeCredential('hello')
    const { stdout } = expectSuccess(await as('bob').run(['unmunge'], { input }))
    expect(stdout).toMatch(/STATUS: +Success[^]*hello$/)
  })

  it('vouches for its sender and the body of this one request', async () => {
    const authorization = await signer.sign({ method: 'POST', target, body })
    const vouched = await verifier.verify({ method: 'POST', target, authorization })
    expect(vouched.sender).toEqual({ by: 'munge', uid: 0, origin: '192.0.2.1' })
    expect(() => vouched.checkBody(body)).not.toThrow()
    expect(() => vouched.checkBody(Buffer.from('{"id":"y"}\n'))).toThrow(/another body/)
  })

  it('is refused the second time, by munged and, after munged’s restart, by us', async () => {
    const authorization = await signer.sign({ method: 'POST', target, body })
    const request = { method: 'POST', target, authorization }
    await verifier.verify(request)
    await expect(verifier.verify(request)).rejects.toMatchObject(coded('HW_CREDENTIAL_REPLAYED'))
    await service('restart', 'munged')
    await expect(verifier.verify(request)).rejects.toMatchObject(coded('HW_CREDENTIAL_REPLAYED'))
  })

  it.each([
    ['another path', { method: 'POST', target: '/v1/records?cluster=hepp&node=n2' }],
    ['another method', { method: 'PUT', target }],
  ])('is refused for %s', async (_what, other) => {
    const authorization = await signer.sign({ method: 'POST', target, body })
    await expect(verifier.verify({ ...other, authorization })).rejects.toMatchObject(
      coded('HW_CREDENTIAL_INVALID'),
    )
  })

  it('made for something else than us is refused', async () => {
    const authorization = `MUNGE ${await makeCredential('slurm')}`
    await expect(verifier.verify({ method: 'POST', target, authorization })).rejects.toMatchObject(
      coded('HW_CREDENTIAL_INVALID'),
    )
  })

  it('that is garbage, or one byte off, is refused', async () => {
    const whole = await signer.sign({ method: 'POST', target, body })
    const at = Math.floor(whole.length / 2)
    const flipped = `${whole.slice(0, at)}${whole[at] === 'A' ? 'B' : 'A'}${whole.slice(at + 1)}`
    for (const authorization of ['MUNGE MUNGE:AAAA:', flipped])
      await expect(
        verifier.verify({ method: 'POST', target, authorization }),
      ).rejects.toMatchObject(coded('HW_CREDENTIAL_INVALID'))
  })

  it('that has expired is refused', async () => {
    const line = `hepwrap1 POST ${target} ${sha256Hex(body)}`
    const short = expectSuccess(
      await as('root').run(['munge', '-t', '1', '-s', line]),
    ).stdout.trim()
    const request = { method: 'POST', target, authorization: `MUNGE ${short}` }
    await new Promise((resolve) => setTimeout(resolve, 2100)) // munged counts whole seconds of the real clock
    await expect(verifier.verify(request)).rejects.toMatchObject(coded('HW_CREDENTIAL_EXPIRED'))
  })

  it('by another site’s key is refused', async () => {
    const authorization = await signer.sign({ method: 'POST', target, body })
    const key = readFileSync('/etc/munge/munge.key')
    await as('root').run(['sh', '-c', 'head -c 1024 /dev/urandom >/etc/munge/munge.key'])
    await service('restart', 'munged')
    try {
      await expect(
        verifier.verify({ method: 'POST', target, authorization }),
      ).rejects.toMatchObject(coded('HW_CREDENTIAL_INVALID'))
    } finally {
      await as('root').run(['sh', '-c', 'cat >/etc/munge/munge.key'], { input: key })
      await service('restart', 'munged')
    }
  })
})

describe('without munged', () => {
  afterEach(async () => {
    process.kill(munged(), 'SIGCONT')
    await service('start', 'munged').catch(() => undefined)
  })

  it('that hangs, nobody waits longer than he wants, and the program ends at once', async () => {
    process.kill(munged(), 'SIGSTOP')
    await expect(makeCredential('x', { waitMs: 100 })).rejects.toMatchObject(
      coded('HW_MUNGE_UNAVAILABLE'),
    )
    const script = `
      import { makeCredential } from '/opt/hepwrap/dist/trust/munge-socket.js'
      makeCredential('x').catch(() => undefined)
      setTimeout(() => process.exit(7), 100)`
    const { status } = await as('root').run(
      ['/usr/local/bin/node', '--input-type=module', '-e', script],
      { timeoutMs: 4000 }, // less than our own patience with munged, and libmunge's of ten seconds
    )
    expect(status).toBe(7)
  })

  it('it is said so', async () => {
    await service('stop', 'munged')
    await expect(makeCredential('x')).rejects.toMatchObject(coded('HW_MUNGE_UNAVAILABLE'))
    await service('start', 'munged')
  })
})
