// The example policies of config/examples, which docs/admin-guide.md shows whole: who may do what under each.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { valuesOf } from '../../../src/rules/site-policy.js'
import type { RunRequest } from '../../../src/wire/run-api.js'
import { userMount } from '../plan/plan-fixture.js'
import { EXAMPLES, exampleText, siteOf, verdictOf, type Asker } from './example-verdict.js'

type Row = readonly [Asker, Partial<RunRequest>, string]

const mount = (source: string, readOnly = false) => ({
  mounts: [{ ...userMount(source, '/inside'), read_only: readOnly }],
})
const anybody: Asker = {}

describe('the guide', () => {
  const guide = readFileSync(join(import.meta.dirname, '../../../docs/admin-guide.md'), 'utf8')
  it.each(EXAMPLES)('shows %s.toml as it is', (name) =>
    expect(guide.includes(`\`\`\`toml\n${exampleText(name)}\`\`\`\n`)).toBe(true),
  )
})

describe('university.toml', () => {
  const student: Asker = { group: 'students' }
  const maker: Asker = { user: 'imagemaker' }
  const debian = { image: 'debian:12' }
  const gpu = { ...debian, devices: ['/dev/nvidia0'] }
  it.each<Row>([
    [anybody, debian, 'allowed'],
    [anybody, { image: 'quay.io/jupyter/base-notebook:2026-01-05' }, 'allowed'],
    [anybody, { image: 'ghcr.io/a/b/c:1' }, 'allowed'],
    [anybody, { image: 'debian' }, 'HW_IMAGE_REFUSED [images]: images.deny "*:latest"'],
    [anybody, { image: 'quay.io/a/b' }, 'HW_IMAGE_REFUSED [images]: images.deny "*:latest"'],
    [anybody, { image: 'evil.example/debian:12' }, 'HW_IMAGE_REFUSED [images]: images.allow'],
    [anybody, { ...debian, pull: 'always' }, 'HW_PULL_REFUSED built in: images.pull'],
    [student, debian, 'allowed'],
    [student, { image: 'registry.example.edu:5000/courses/ml/w3:1' }, 'allowed'],
    [student, { image: 'pytorch/torch:2' }, 'HW_IMAGE_REFUSED rule "students": images.allow'],
    [student, { image: 'debian' }, 'HW_IMAGE_REFUSED [images]: images.deny "*:latest"'],
    [
      student,
      { ...debian, shm_size_bytes: 2 ** 31 },
      'HW_LIMIT_ABOVE_SITE rule "students": ceilings.shm',
    ],
    [anybody, { ...debian, shm_size_bytes: 2 ** 31 }, 'allowed'],
    [
      anybody,
      { ...debian, tmpfs: [{ target: '/t', size_bytes: 2 ** 34 }] },
      'HW_LIMIT_ABOVE_SITE [policy]: ceilings.tmpfs',
    ],
    [anybody, gpu, 'HW_OPTION_FORBIDDEN built in: devices'],
    [{ partition: 'gpu' }, gpu, 'allowed'],
    [{ partition: 'gpu-long' }, gpu, 'allowed'],
    [{ ...student, partition: 'gpu' }, gpu, 'allowed'],
    [
      { partition: 'gpu' },
      { ...debian, devices: ['/dev/sda'] },
      'HW_OPTION_FORBIDDEN rule "gpu": devices',
    ],
    [maker, { ...debian, image: 'debian', pull: 'always' }, 'allowed'],
    [anybody, { ...debian, ...mount('/scratch/ada') }, 'allowed'],
    [anybody, { ...debian, ...mount('/var/tmp') }, 'HW_MOUNT_REFUSED [mounts]: mounts.allow'],
    [
      anybody,
      { ...debian, ...mount('/software/r') },
      'HW_MOUNT_READ_ONLY [mounts]: mounts.read_only "/software"',
    ],
    [anybody, { ...debian, ...mount('/software/r', true) }, 'allowed'],
  ])('to %j says of %j: %s', (asker, request, expected) =>
    expect(verdictOf('university', asker, request)).toBe(expected),
  )

  it('gives students fewer containers, and nobody his secrets', () => {
    expect(siteOf('university', anybody)['ceilings.runs_per_user'].value).toBe(64)
    expect(siteOf('university', student)['ceilings.runs_per_user'].value).toBe(4)
    expect(siteOf('university', student)['ceilings.runs_per_job'].value).toBe(64)
    expect(valuesOf(siteOf('university', student)['environment.never'])).toEqual(
      expect.arrayContaining(['PATH', 'LD_*', 'SSH_*', '*_TOKEN']),
    )
  })
})

describe('hep-site.toml', () => {
  const atlas: Asker = { group: 'atlas' }
  const cms: Asker = { group: 'cms' }
  const image = 'registry.example.org/atlas/analysis:21'
  it.each<Row>([
    [atlas, { image }, 'allowed'],
    [atlas, { image: 'atlas/athena:25' }, 'allowed'],
    [atlas, { image: 'registry.example.org/base/el9:1' }, 'allowed'],
    [
      atlas,
      { image: 'registry.example.org/cms/reco:1' },
      'HW_IMAGE_REFUSED rule "atlas": images.allow',
    ],
    [
      atlas,
      { image: 'registry.example.org/atlas/deep/x-debug:1' },
      'HW_IMAGE_REFUSED [images]: images.deny "registry.example.org/*/*-debug"',
    ],
    [
      atlas,
      { image: 'atlas/athena:nightly' },
      'HW_IMAGE_REFUSED [images]: images.deny "*:nightly"',
    ],
    [cms, { image: 'cmssw/el9:1' }, 'allowed'],
    [cms, { image }, 'HW_IMAGE_REFUSED rule "cms": images.allow'],
    [anybody, { image }, 'HW_IMAGE_REFUSED [images]: images.allow'],
    [anybody, { image: 'registry.example.org/base/el9:1' }, 'allowed'],
    [anybody, { image: 'debian:12' }, 'HW_IMAGE_REFUSED [images]: images.allow'],
    [{ ...atlas, user: 'atlasplt007' }, { image }, 'allowed'],
    [
      { ...atlas, user: 'cmsplt1' },
      { image: 'cmssw/el9:1' },
      'HW_IMAGE_REFUSED rule "atlas": images.allow',
    ],
    [atlas, { image, ...mount('/tmp/x509up_u1000', true) }, 'allowed'],
    [atlas, { image, ...mount('/data/atlas') }, 'allowed'],
    [
      atlas,
      { image, ...mount('/data/raw/run3') },
      'HW_MOUNT_READ_ONLY [mounts]: mounts.read_only "/data/raw"',
    ],
    [
      atlas,
      { image, ...mount('/data') },
      'HW_MOUNT_READ_ONLY [mounts]: mounts.read_only "/data/raw"',
    ],
    [atlas, { image, ...mount('/data/raw/run3', true) }, 'allowed'],
    [atlas, { image, ...mount('/etc') }, 'HW_MOUNT_REFUSED [mounts]: mounts.allow'],
    [atlas, { image, devices: ['/dev/fuse'] }, 'HW_OPTION_FORBIDDEN built in: devices'],
  ])('to %j says of %j: %s', (asker, request, expected) =>
    expect(verdictOf('hep-site', asker, request)).toBe(expected),
  )

  it('gives a pilot more containers and no home', () => {
    const [some, pilot] = [atlas, { ...atlas, user: 'atlasplt007' }].map((asker) => {
      const site = siteOf('hep-site', asker)
      return [site['mounts.home'].value, site['ceilings.runs_per_user'].value]
    })
    expect([some, pilot]).toEqual([
      [true, 64],
      [false, 1000],
    ])
  })

  it('passes proxies and tokens beside what passes anyway, and mounts CVMFS', () => {
    const site = siteOf('hep-site', atlas)
    expect(valuesOf(site['environment.pass'])).toEqual(
      expect.arrayContaining(['SLURM_*', 'HOME', 'X509_*', 'BEARER_TOKEN_FILE']),
    )
    expect(valuesOf(site['mounts.always'])[0]).toBe('/cvmfs:/cvmfs:ro')
  })
})

describe('sensitive.toml', () => {
  const name = 'registry.example.org/trusted/analysis'
  const digest = `sha256:${'1'.repeat(64)}`
  const [image, network] = [`${name}@${digest}`, 'none'] as const
  const run = { image, network }
  const candidate = 'registry.example.org/candidates/x:1'
  const tester: Asker = { user: 'imagetest' }
  it.each<Row>([
    [anybody, run, 'allowed'],
    [anybody, { image }, 'allowed'], // without --network there is none
    [anybody, { image, network: 'host' }, 'HW_NETWORK_REFUSED [policy]: network'],
    [anybody, { image: 'debian:12' }, 'HW_IMAGE_REFUSED [images]: images.allow'],
    [
      anybody,
      { image: `${name}@sha256:${'3'.repeat(64)}` },
      'HW_IMAGE_REFUSED [images]: images.allow',
    ],
    [anybody, { image: candidate }, 'HW_IMAGE_REFUSED [images]: images.allow'],
    [tester, { image: candidate }, 'allowed'],
    [anybody, { ...run, ...mount('/projects/a') }, 'allowed'],
    [anybody, { ...run, ...mount('/home/ada') }, 'HW_MOUNT_REFUSED [mounts]: mounts.allow'],
    [
      anybody,
      { ...run, ...mount('/projects') },
      'HW_MOUNT_REFUSED [mounts]: mounts.deny "/projects/quarantine"',
    ],
    [
      anybody,
      { ...run, ...mount('/projects/archive/2025') },
      'HW_MOUNT_READ_ONLY [mounts]: mounts.read_only "/projects/archive"',
    ],
    [anybody, { ...run, ...mount('/projects/archive/2025', true) }, 'allowed'],
    [{ group: 'archivists' }, { ...run, ...mount('/projects/archive/2025') }, 'allowed'],
    [
      { group: 'archivists' },
      { ...run, ...mount('/projects/quarantine', true) },
      'HW_MOUNT_REFUSED [mounts]: mounts.deny "/projects/quarantine"',
    ],
    [
      tester,
      { ...run, ...mount('/projects/a', true) },
      'HW_MOUNT_REFUSED rule "image testers": mounts.allow',
    ],
    [
      anybody,
      { ...run, tmpfs: [{ target: '/t', size_bytes: 3 * 2 ** 30 }] },
      'HW_LIMIT_ABOVE_SITE [policy]: ceilings.tmpfs',
    ],
    [anybody, { ...run, tmpfs: [{ target: '/t', size_bytes: 2 ** 31 }] }, 'allowed'],
    [
      anybody,
      { ...run, ulimits: [{ name: 'core', soft: 1, hard: 1 }] },
      'HW_LIMIT_ABOVE_SITE [policy]: ceilings.ulimits',
    ],
    [
      anybody,
      { ...run, env: { LD_PRELOAD: '/x.so' } },
      'HW_ENV_REFUSED [policy]: environment.refuse "LD_*"',
    ],
    [anybody, { ...run, devices: ['/dev/fuse'] }, 'HW_OPTION_FORBIDDEN [policy]: devices'],
  ])('to %j says of %j: %s', (asker, request, expected) =>
    expect(verdictOf('sensitive', asker, request)).toBe(expected),
  )

  it('takes a tag for the content that it has turned out to be', () => {
    const tagged = { image: `${name}:1` }
    const is = (found: string) => ({ digest: found, digests: [found] })
    expect(verdictOf('sensitive', anybody, tagged, is(digest))).toBe('allowed')
    expect(verdictOf('sensitive', anybody, tagged, is(`sha256:${'9'.repeat(64)}`))).toBe(
      'HW_IMAGE_REFUSED [images]: images.allow',
    )
  })

  it('demands a signature of everybody but those who try images', () => {
    const demanded = (asker: Asker) =>
      valuesOf(siteOf('sensitive', asker)['images.require_signature'])
    expect(demanded(anybody)).toEqual(['/etc/hepwrap/keys/release.pub'])
    expect(demanded({ group: 'archivists' })).toEqual(['/etc/hepwrap/keys/release.pub'])
    expect(demanded(tester)).toEqual([])
  })

  it('shows a run nothing of the caller but what the job needs', () => {
    const site = siteOf('sensitive', anybody)
    expect([site['mounts.home'].value, valuesOf(site['mounts.always'])]).toEqual([false, []])
    expect(valuesOf(site['environment.pass'])).not.toContain('SCRATCH')
    expect(site['ceilings.ulimits'].value).toEqual({ core: 0 })
  })
})
