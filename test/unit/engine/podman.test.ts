// What differs with Podman: the request in its own words, by construction, and what it is asked beside.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, it, describe } from 'vitest'
import type { ContainerSpec } from '../../../src/engine/engine.js'
import { createPodman, specGenerator } from '../../../src/engine/podman.js'
import { tightened, type SeccompProfile } from '../../../src/engine/podman-seccomp.js'
import { parseImageRef } from '../../../src/plan/image-ref.js'
import { anySpec } from './any-spec.js'
import { engineThat, json } from './fake-docker.js'

const withoutColons = anySpec.filter(({ devices }) => !devices.some((path) => path.includes(':')))

interface Said {
  readonly mounts: readonly { destination: string; source: string; options: readonly string[] }[]
  readonly unsetenv: readonly string[]
}
const NO_IMAGE = { variables: new Set<string>(), seccompPath: '/p' }
const said = (spec: ContainerSpec, ofImage: readonly string[] = []) =>
  JSON.parse(specGenerator(spec, { variables: new Set(ofImage), seccompPath: '/p' })) as Said

describe('whatever the spec', () => {
  it('no power is said but those of the plan', () => {
    const property = fc.property(withoutColons, (spec) => {
      expect(said(spec)).toMatchObject({
        user: `${spec.uid}:${spec.gid}`,
        groups: spec.groups.map(String),
        image: spec.imageId,
        privileged: false,
        cap_add: [],
        cap_drop: ['ALL'],
        no_new_privileges: true,
        userns: { nsmode: 'host' },
        pidns: { nsmode: 'private' },
        ipcns: { nsmode: 'private' },
        netns: { nsmode: spec.network },
        systemd: 'false',
        read_only_filesystem: spec.readOnlyRootfs,
        healthconfig: { Test: ['NONE'] },
      })
    })
    fc.assert(property, { numRuns: 200 })
  })

  it('the same fields are said, and what is a user’s is a value among them', () => {
    const fields = new Set<string>()
    const property = fc.property(withoutColons, (spec) => {
      for (const field of Object.keys(said(spec))) fields.add(field)
    })
    fc.assert(property, { numRuns: 200 })
    expect([...fields].sort()).toMatchInlineSnapshot(`
      [
        "cap_add",
        "cap_drop",
        "cgroupns",
        "command",
        "devices",
        "entrypoint",
        "env",
        "env_host",
        "groups",
        "healthconfig",
        "httpproxy",
        "image",
        "image_volume_mode",
        "init",
        "ipcns",
        "labels",
        "log_configuration",
        "manage_password",
        "mounts",
        "name",
        "netns",
        "no_new_privileges",
        "oci_runtime",
        "oom_score_adj",
        "pidns",
        "privileged",
        "r_limits",
        "read_only_filesystem",
        "read_write_tmpfs",
        "restart_policy",
        "sdnotifyMode",
        "seccomp_policy",
        "seccomp_profile_path",
        "shm_size",
        "stdin",
        "stop_signal",
        "stop_timeout",
        "systemd",
        "terminal",
        "unsetenv",
        "user",
        "userns",
        "utsns",
        "work_dir",
      ]
    `)
  })

  it('a mount is one mount, whatever stands in its target', () => {
    const property = fc.property(withoutColons, (spec) => {
      const { mounts } = said(spec)
      expect(mounts.map(({ destination }) => destination)).toEqual(
        spec.mounts.map(({ target }) => target),
      )
      for (const { options } of mounts)
        for (const option of options)
          expect(option).toMatch(/^(rbind|r[ow]|rprivate|rslave|no\w+|(mode|size)=\d+)$/)
    })
    fc.assert(property, { numRuns: 200 })
  })
})

it('no limit is the largest number there is, to the last digit', () => {
  const [spec] = fc.sample(withoutColons, 1)
  const ulimits = [{ name: 'core', soft: 0, hard: -1 }]
  expect(specGenerator({ ...spec!, ulimits }, NO_IMAGE)).toContain(
    '"r_limits":[{"type":"core","soft":0,"hard":18446744073709551615}]',
  )
})

it('of the environment only what Podman adds is taken away', () => {
  const [spec] = fc.sample(withoutColons, 1)
  const unset = (tty: boolean, ...ofImage: string[]) => said({ ...spec!, tty }, ofImage).unsetenv
  expect(unset(false)).toEqual(['container', 'TERM'])
  expect(unset(true)).toEqual(['container'])
  expect(unset(false, 'TERM', 'container')).toEqual([])
})

it('a device with a colon is refused, for it would be more than a path', () => {
  const [spec] = fc.sample(withoutColons, 1)
  const devices = ['/dev/null:/dev/sda']
  expect(() => specGenerator({ ...spec!, devices }, NO_IMAGE)).toThrow('has a colon')
})

it('a digest is good for every name of the image', () => {
  const { repoDigests } = createPodman('/run')
  const RepoTags = ['docker.io/library/a:1', '127.0.0.1:5000/b:2']
  const RepoDigests = ['docker.io/library/a@sha256:1', 'docker.io/library/a@sha256:2']
  expect(repoDigests({ RepoTags, RepoDigests })).toEqual([
    ...RepoDigests,
    '127.0.0.1:5000/b@sha256:1',
    '127.0.0.1:5000/b@sha256:2',
  ])
  expect(repoDigests({ RepoTags: null, RepoDigests: null })).toEqual([])
})

const PROFILE = join(import.meta.dirname, 'fixtures/podman-seccomp.json')

/** Answers as Podman does, and keeps what it was asked. */
async function podmanWith(image: object) {
  const asked: string[] = []
  const engine = await engineThat((request, response) => {
    const url = request.url ?? ''
    asked.push(`${request.method ?? ''} ${url}`)
    request.resume()
    if (url.endsWith('/version')) json(response, { Components: [{ Name: 'Podman Engine' }] })
    else if (url.endsWith('/info'))
      json(response, { host: { security: { seccompProfilePath: PROFILE } } })
    else if (url.includes('/libpod/images/')) json(response, image)
    else if (url.includes('/archive')) json(response, { message: 'no such file' }, 404)
    else if (request.method === 'DELETE') response.writeHead(204).end()
    else json(response, { Id: 'f'.repeat(64), Config: {} }, url.includes('create') ? 201 : 200)
  })
  return { engine, asked }
}

const someSpec = (): ContainerSpec => ({ ...fc.sample(withoutColons, 1)[0]!, imageId: 'sha256:1' })

describe('an engine that says it is Podman', () => {
  it('is asked for its own kind of container, after the image was looked at', async () => {
    const { engine, asked } = await podmanWith({ Config: { Env: ['TERM=x'] } })
    expect(await engine.create(someSpec())).toBe('f'.repeat(64))
    expect(asked.slice(-2)).toEqual([
      'GET /v4.0.0/libpod/images/sha256:1/json',
      'POST /v4.0.0/libpod/containers/create',
    ])
    await engine.create(someSpec())
    expect(asked.filter((one) => one.endsWith('/version'))).toHaveLength(1)
  })

  it('does not get an image whose annotations a runtime would obey', async () => {
    const { engine, asked } = await podmanWith({
      Annotations: { 'org.opencontainers.image.created': 'x', 'run.oci.seccomp_bpf_data': 'AAAA' },
    })
    await expect(engine.create(someSpec())).rejects.toMatchObject({
      code: 'HW_IMAGE_REFUSED',
      message: expect.stringContaining('"run.oci.seccomp_bpf_data"') as string,
    })
    expect(asked.filter((one) => one.includes('libpod/containers'))).toEqual([])
  })

  it('is given a tar with its whole name', async () => {
    const { engine, asked } = await podmanWith({})
    await engine.importImage(Buffer.alloc(1024), parseImageRef('a/b:1'))
    expect(asked.at(-1)).toBe('POST /v4.0.0/libpod/images/import?reference=docker.io%2Fa%2Fb%3A1')
  })
})

describe('Podman’s seccomp profile', () => {
  const given = JSON.parse(readFileSync(PROFILE, 'utf8')) as SeccompProfile
  const isForAll = ({ action, args, includes }: SeccompProfile['syscalls'][number]) =>
    action === 'SCMP_ACT_ALLOW' && (args ?? []).length === 0 && (includes?.caps ?? []).length === 0
  const allowed = ({ syscalls }: SeccompProfile) =>
    new Set(syscalls.filter(isForAll).flatMap(({ names }) => names))

  it('loses what makes namespaces and mounts, and gains nothing', () => {
    const [before, after] = [allowed(given), allowed(tightened(given))]
    for (const name of ['unshare', 'mount', 'setns', 'clone', 'clone3', 'keyctl', 'pivot_root']) {
      expect(before.has(name), name).toBe(true)
      expect(after.has(name), name).toBe(false)
    }
    expect([...after].filter((name) => !before.has(name))).toEqual([])
    for (const name of ['read', 'execve', 'ptrace', 'futex', 'vfork'])
      expect(after.has(name)).toBe(true)
    expect(before.size - after.size).toBeLessThan(25)
  })

  it('that allows by default is refused', () => {
    expect(() => tightened({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [] })).toThrow('by default')
  })
})
