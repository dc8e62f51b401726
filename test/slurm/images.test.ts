// Which images may run, where they come from, and what is said when they cannot be had. Pulls are real: from
// docker-registry on the loopback interface.
import { readFileSync, statSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { ImageRow } from '../../src/wire/job-api.js'
import { type ConfigOverrides, startDaemon, stopDaemons } from '../world/daemon.js'
import { engine, leftovers, nothing } from '../world/traces.js'
import { as, expectSuccess, service } from '../world/world.js'
import { startOnTerminal } from '../world/terminal.js'
import { complaint, hepwrap, hepwrapRun, hepwrapRuns, recordNamed, records } from './job-runs.js'
import { docker, push, REGISTRY, removeImages, REPOSITORY } from './word-images.js'

/** The digests of what was pushed, by tag. */
const pushed: Record<string, string> = {}

beforeAll(async () => {
  pushed['1'] = await push(`${REPOSITORY}:1`, 'first')
  pushed['2'] = await push(`${REPOSITORY}:2`, 'second')
})
afterAll(() => removeImages())
afterEach(async () => {
  await stopDaemons()
  await removeImages()
})

describe('the allow-list', () => {
  const allowed = async (allow: string[], image: string, args: string[] = []) => {
    const daemon = await startDaemon({ config: { images: { allow, pull: 'always' } } })
    const result = await hepwrapRun('alice', [...args, image, 'cat', '/word'])
    await daemon.stop()
    return result.status === 0 ? result.stdout.trim() : complaint(result)
  }

  it('ACCEPTANCE 28: allows by name, name and tag, digest and glob', async () => {
    for (const allow of [
      [REPOSITORY],
      [`${REPOSITORY}:1`],
      [`${REPOSITORY}@${pushed['1']!}`],
      ['busybox', '127.0.0.1:*/*/box:?'],
    ])
      expect(await allowed(allow, `${REPOSITORY}:1`), allow.join(' ')).toBe('first')
    const byDigest = `${REPOSITORY}@${pushed['2']!}`
    expect(await allowed([byDigest], byDigest)).toBe('second')
  })

  it('ACCEPTANCE 28: refuses everything else by name and reason, and keeps a record of it', async () => {
    await startDaemon({ config: { images: { allow: [`${REPOSITORY}:1`, 'busybox:test'] } } })
    const images = [
      `${REPOSITORY}:2`,
      REPOSITORY,
      `${REGISTRY}/cms/box:1`,
      `localhost:5000/atlas/box:1`,
      'debian:test',
      'busybox',
      'evil.example/busybox:test',
      `${REPOSITORY}@${pushed['1']!}`, // this tag's content, but who says that it will stay so?
    ]
    const results = await hepwrapRuns(
      'alice',
      images.map((image) => [image, 'true']),
    )
    const kept = await records('alice')
    expect(kept).toHaveLength(images.length)
    for (const [index, image] of images.entries()) {
      expect(results[index]!.status, image).toBe(125)
      expect(complaint(results[index]!)).toBe(
        `hepwrap: image "${image}" is not allowed on this site (images.allow) (HW_IMAGE_REFUSED)`,
      )
      expect(kept[index]).toMatchObject({
        image,
        image_id: null,
        state: 'REFUSED',
        reason: 'HW_IMAGE_REFUSED',
        exit_code: 125,
        started_at: null,
      })
    }
    expect(await engine('GET', `/images/${REPOSITORY}:2/json`)).toMatchObject({ status: 404 })
  })

  it('ACCEPTANCE 28: an empty list allows nothing', async () => {
    await startDaemon({ config: { images: { allow: [] } } })
    expect(complaint(await hepwrapRun('alice', ['busybox:test', 'true']))).toContain(
      '(HW_IMAGE_REFUSED)',
    )
  })

  it('ACCEPTANCE 28: a tag that moved after its digest was approved is refused, and never runs', async () => {
    const image = `${REPOSITORY}:moving`
    const approved = await push(image, 'approved')
    const config: ConfigOverrides = {
      images: { allow: [`${REPOSITORY}@${approved}`], pull: 'always' },
    }
    await startDaemon({ config })
    expect((await hepwrapRun('alice', [image, 'cat', '/word'])).stdout).toBe('approved\n')

    const moved = await push(image, 'moved')
    expect(moved).not.toBe(approved)
    // What this node has is still what was approved.
    expect((await hepwrapRun('alice', [image, 'cat', '/word'])).stdout).toBe('approved\n')
    const pulled = await hepwrapRun('alice', ['--pull', 'always', '--name', 'moved', image, 'true'])
    expect(pulled.status).toBe(125)
    expect(complaint(pulled)).toContain(`image "${image}"`)
    expect(complaint(pulled)).toContain(moved)
    expect(complaint(pulled)).toContain('(HW_IMAGE_REFUSED)')
    expect(await recordNamed('moved')).toMatchObject({ state: 'REFUSED', started_at: null })
    // Nor does it run from now on, when it is here.
    expect(complaint(await hepwrapRun('alice', [image, 'true']))).toContain('(HW_IMAGE_REFUSED)')
    // Whoever wants what was approved can still say so.
    const byDigest = await hepwrapRun('alice', [`${REPOSITORY}@${approved}`, 'cat', '/word'])
    expect(byDigest.stdout).toBe('approved\n')
    expect(await leftovers()).toEqual(nothing)
  })

  it('ACCEPTANCE 28: a local image under the name of an approved digest is refused', async () => {
    const image = `${REPOSITORY}:1`
    await startDaemon({ config: { images: { allow: [`${REPOSITORY}@${pushed['1']!}`] } } })
    await docker('tag', 'debian:test', image)
    const result = await hepwrapRun('alice', [image, 'cat', '/etc/os-release'])
    expect(result).toMatchObject({ status: 125, stdout: '' })
    expect(complaint(result)).toContain('(HW_IMAGE_REFUSED)')
  })
})

describe('an image that cannot be had', () => {
  const allow = ['*', `${REGISTRY}/*`, '127.0.0.1:5001/*', '127.0.0.1:5999/*', 'host.invalid/*']
  /** Code and state of each; the line names the option's value, or the image, and the record has the same reason. */
  const failures = async (...argLists: string[][]) => {
    const results = await hepwrapRuns(
      'alice',
      argLists.map((args) => [...args, 'true']),
    )
    const kept = (await records('alice')).slice(-argLists.length)
    return argLists.map((args, index) => {
      expect(results[index]).toMatchObject({ status: 125, stdout: '' })
      const line = complaint(results[index]!)
      expect(line.split('\n')).toHaveLength(1)
      const named = [args[1], JSON.stringify(args.at(-1)).slice(0, 100)]
      expect(
        named.some((word) => word !== undefined && line.includes(word)),
        line,
      ).toBe(true)
      const code = /\((HW_[A-Z_]+)\)$/.exec(line)?.[1] ?? line
      expect(kept[index]).toMatchObject({ image: args.at(-1), reason: code, exit_code: 125 })
      return `${code} ${kept[index]!.state}`
    })
  }

  it('ACCEPTANCE 29: has a reason code for each cause', async () => {
    await startDaemon({ config: { images: { allow, pull: 'always' } } })
    const codes = await failures(
      ['foreign:test'],
      ['--pull', 'never', `${REPOSITORY}:1`],
      [`${REPOSITORY}:absent`],
      [`${REGISTRY}/atlas/absent`],
      [`${REPOSITORY}@sha256:${'0'.repeat(64)}`],
      ['127.0.0.1:5999/atlas/box:1'],
      ['host.invalid/atlas/box:1'],
    )
    expect(codes).toEqual([
      'HW_IMAGE_PLATFORM REFUSED',
      'HW_IMAGE_ABSENT REFUSED',
      'HW_IMAGE_NOT_FOUND REFUSED',
      'HW_IMAGE_NOT_FOUND REFUSED',
      'HW_IMAGE_NOT_FOUND REFUSED',
      'HW_REGISTRY_DOWN FAILED',
      'HW_REGISTRY_DOWN FAILED',
    ])
    expect(await leftovers()).toEqual(nothing)
  })

  it('ACCEPTANCE 29: tells a registry that wants credentials from one that is away', async () => {
    await service('start', 'registry-auth')
    await startDaemon({ config: { images: { allow } } })
    const denied = ['127.0.0.1:5001/atlas/box:1']
    expect(await failures(denied)).toEqual(['HW_REGISTRY_AUTH FAILED'])

    await service('stop', 'registry')
    try {
      expect(await failures([`${REPOSITORY}:1`])).toEqual(['HW_REGISTRY_DOWN FAILED'])
    } finally {
      await service('start', 'registry')
    }
    expect((await hepwrapRun('alice', [`${REPOSITORY}:1`, 'cat', '/word'])).stdout).toBe('first\n')
  })

  it('ACCEPTANCE 29: a --pull beyond what the site allows is refused before anything is asked', async () => {
    const daemon = await startDaemon({ config: { images: { allow, pull: 'missing' } } })
    const requests = requestsSince('registry')
    const refused = 'HW_PULL_REFUSED REFUSED'
    expect(await failures(['--pull', 'always', `${REPOSITORY}:1`])).toEqual([refused])
    await daemon.stop()
    await startDaemon({ config: { images: { allow, pull: 'never' } } })
    const never = await failures(['--pull', 'missing', `${REPOSITORY}:1`], [`${REPOSITORY}:1`])
    expect(never).toEqual([refused, 'HW_IMAGE_ABSENT REFUSED'])
    expect(requests()).toEqual([])
  })

  it('refuses names that are none', async () => {
    await startDaemon({ config: { images: { allow } } })
    const names = ['Box', 'a b', '../x', 'box:', 'box@sha256:1', 'x'.repeat(300), '-']
    const codes = await failures(...names.map((name) => [name]))
    expect(codes).toEqual(names.map(() => 'HW_IMAGE_INVALID REFUSED'))
    const hostile = await hepwrapRun('alice', [
      '\u001b]0;owned\u0007\nhepwrap: all is well',
      'true',
    ])
    expect(hostile.status).toBe(125)
    expect(hostile.stderr).not.toMatch(/[\u001b\u0007]/)
    expect(complaint(hostile).split('\n')).toHaveLength(1)
  })
})

describe('a pull', () => {
  const config: ConfigOverrides = { images: { allow: [`${REGISTRY}/*`], pull: 'always' } }

  it('ACCEPTANCE 30: is made once for many tasks that need one absent image', async () => {
    const daemon = await startDaemon({ config })
    const requests = requestsSince('registry')
    const slurm = ['-p', 'shared', '-n', '8', '--overcommit', '--mem=400']
    const { status, stdout } = await hepwrapRun('alice', [`${REPOSITORY}:1`, 'cat', '/word'], {
      slurm,
    })
    expect({ status, stdout }).toEqual({ status: 0, stdout: 'first\n'.repeat(8) })
    const got = requests()
    expect(got.filter((line) => line.includes('/blobs/'))).toHaveLength(2) // its config and its one layer
    expect(
      got.filter((line) => line.startsWith('GET') && line.includes('/manifests/')),
    ).toHaveLength(1)
    const rows = daemon.ledgerRows()
    expect(rows).toHaveLength(8)
    for (const row of rows) {
      expect(row['image_digest']).toBe(pushed['1'])
      expect(row['pull_ms']).toBeGreaterThan(0)
    }
  })

  it('ACCEPTANCE 30: that fails for many tasks fails for each with its reason, and is tried again for the next', async () => {
    await startDaemon({ config })
    const slurm = ['-p', 'shared', '-n', '4', '--overcommit']
    const result = await hepwrapRun('alice', [`${REPOSITORY}:late`, 'true'], { slurm })
    expect(complaint(result).match(/\(HW_IMAGE_NOT_FOUND\)/g)).toHaveLength(4)
    const digest = await push(`${REPOSITORY}:late`, 'late')
    const { stdout } = await hepwrapRun('alice', [
      '--name',
      'late',
      `${REPOSITORY}:late`,
      'cat',
      '/word',
    ])
    expect(stdout).toBe('late\n')
    expect(await recordNamed('late')).toMatchObject({ image_digest: digest })
  })

  it('goes on for the others when the first that asked for it goes away', async () => {
    await startDaemon({ config })
    const slurm = ['-p', 'shared', '-n', '2', '--overcommit', '--kill-on-bad-exit=0']
    // The first of the two tasks gives up at once.
    const script = `
      if [ $SLURM_PROCID = 0 ]; then timeout -s KILL 0.15 hepwrap run ${REPOSITORY}:1 cat /word; exit 0
      else exec hepwrap run ${REPOSITORY}:1 cat /word; fi`
    const { stdout } = await as('alice').srun(['-Q', ...slurm, 'sh', '-c', script])
    expect(stdout).toContain('first\n')
    expect(await leftovers()).toEqual(nothing)
  })

  it('shows its progress on a terminal, and writes nothing elsewhere', async () => {
    await startDaemon({ config })
    const quiet = await hepwrapRun('alice', [`${REPOSITORY}:1`, 'cat', '/word'])
    expect(quiet).toMatchObject({ status: 0, stdout: 'first\n', stderr: '' })
    await removeImages()
    const argv = ['srun', '-Q', '--pty', 'hepwrap', 'run', `${REPOSITORY}:1`, 'cat', '/word']
    const shown = await (await startOnTerminal('alice', argv)).result
    expect(shown.status).toBe(0)
    expect(shown.stdout).toContain('pull')
    expect(shown.stdout.trimEnd().endsWith('first')).toBe(true)
  })

  it('of --pull always asks the registry again, and takes what is new', async () => {
    const image = `${REPOSITORY}:fresh`
    await push(image, 'old')
    await startDaemon({ config })
    expect((await hepwrapRun('alice', [image, 'cat', '/word'])).stdout).toBe('old\n')
    const fresh = await push(image, 'new')
    expect((await hepwrapRun('alice', [image, 'cat', '/word'])).stdout).toBe('old\n')
    const args = ['--pull', 'always', '--name', 'fresh', image, 'cat', '/word']
    expect((await hepwrapRun('alice', args)).stdout).toBe('new\n')
    expect(await recordNamed('fresh')).toMatchObject({ image_digest: fresh, state: 'COMPLETED' })
  })
})

describe('hepwrap images', () => {
  it('lists what the caller may run here, with digest and size, and nothing else', async () => {
    await startDaemon({
      config: { images: { allow: ['busybox:test', `${REGISTRY}/atlas/*`, `absent:1`] } },
    })
    await hepwrapRun('alice', [`${REPOSITORY}:1`, 'true'])
    const { stdout } = expectSuccess(await hepwrap('alice', ['images', '--json']))
    const rows = (JSON.parse(stdout) as ImageRow[]).sort((a, b) => (a.name < b.name ? -1 : 1))
    expect(rows.map(({ name, digest }) => ({ name, digest }))).toEqual([
      { name: `${REPOSITORY}:1`, digest: pushed['1'] },
      { name: 'busybox:test', digest: null },
    ])
    for (const { size_bytes, id } of rows) {
      expect(size_bytes).toBeGreaterThan(1_000_000)
      expect(id).toMatch(/^sha256:[0-9a-f]{64}$/)
    }
    const table = expectSuccess(await hepwrap('bob', ['images'])).stdout.split('\n')
    expect(table[0]).toMatch(/^IMAGE +SIZE +DIGEST/)
    expect(table.filter(Boolean)).toHaveLength(3)
    expect(table.join('\n')).toContain(pushed['1'])
    expect(table.join('\n')).not.toContain('debian')
  })
})

/** What the registry was asked since, like "GET /v2/atlas/box/manifests/1". */
function requestsSince(name: string): () => string[] {
  const path = `/var/log/world/${name}.log`
  const start = statSync(path).size
  return () =>
    [
      ...readFileSync(path)
        .subarray(start)
        .toString()
        .matchAll(/"((?:GET|HEAD) \S+) HTTP/g),
    ].map(([, request]) => request!)
}
