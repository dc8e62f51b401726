// Each point of a verdict names the place that decided it: file, line, layer, key, and of a list the entry.
import { expect, it } from 'vitest'
import { judge } from '../../../src/policy/policy.js'
import type { RunRequest } from '../../../src/wire/run-api.js'
import { chosen, configOf, planOf, siteOf, userMount } from '../plan/plan-fixture.js'

const SITE = `[mounts]
allow = ["/home", "/data"]
always = [
  "/cvmfs:/cvmfs:ro",
  "/opt/site:/site",
]
[policy.ceilings]
tmpfs = "1g"
[[rule]]
name = "ada"
users = ["ada"]
mounts.allow = ["...", "/scratch"]
mounts.always = ["...", "/ada:/of-ada"]
`

const mountsOf = (request: Partial<RunRequest>, toml = SITE) =>
  judge(planOf({ request, toml }), siteOf(toml), {
    ...configOf(toml),
    slurm: { outside_jobs: 'allow', require_prolog: false },
  })
    .filter(({ point }) => point === 'mount')
    .map(({ value, decidedBy }) => `${value} ${decidedBy}`)

it('of the site’s own mounts the entry', () =>
  expect(mountsOf({})).toEqual([
    '/cvmfs:/cvmfs f.toml:4 [mounts]: mounts.always "/cvmfs:/cvmfs:ro"',
    '/opt/site:/site f.toml:5 [mounts]: mounts.always "/opt/site:/site"',
    '/ada:/of-ada f.toml:13 rule "ada": mounts.always "/ada:/of-ada"',
  ]))

it('built in, too', () =>
  expect(mountsOf({}, '[policy]\nnetwork = ["none"]\n')).toEqual([
    '/cvmfs:/cvmfs built in: mounts.always "/cvmfs:/cvmfs:ro"',
  ]))

it('of a user’s mounts, HOME and cwd the entry that their path lies below', () =>
  expect(
    mountsOf({
      mounts: [
        chosen('home', '/home/ada'),
        userMount('/data/run3', '/in'),
        userMount('/scratch/ada', '/out'),
        userMount('/link', '/linked'), // where it leads is asked of its descriptor
      ],
    }).slice(3),
  ).toEqual(
    expect.arrayContaining([
      '/data/run3:/in f.toml:2 [mounts]: mounts.allow "/data"',
      '/scratch/ada:/out f.toml:12 rule "ada": mounts.allow "/scratch"',
      '/link:/linked f.toml:12 rule "ada": mounts.allow',
      '/home/ada:/home/ada f.toml:2 [mounts]: mounts.allow "/home"',
    ]),
  ))

it('of a tmpfs the ceiling', () =>
  expect(mountsOf({ tmpfs: [{ target: '/t' }] })).toContain(
    'tmpfs:/t f.toml:8 [policy]: ceilings.tmpfs',
  ))
