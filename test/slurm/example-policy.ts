// One of config/examples as the configuration of a real daemon, and what it says of real runs.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { UsageRecord } from '../../src/wire/usage-api.js'
import { type Daemon, startDaemon } from '../world/daemon.js'
import { pushImage } from '../world/engine.js'
import { as, expectSuccess, type User } from '../world/world.js'
import { complaint, hepwrapRuns, records, type RunOptions } from './job-runs.js'

export const REGISTRY = 'localhost:5000'

/** Every pair must stand in the file: a word of the example's, and this world's for it. */
export function startExample(
  name: string,
  words: readonly (readonly [string, string])[],
): Promise<Daemon> {
  let text = readFileSync(join(import.meta.dirname, `../../config/examples/${name}.toml`), 'utf8')
  for (const [theirs, ours] of words) {
    if (!text.includes(theirs)) throw new Error(`${name}.toml has no ${theirs}`)
    text = text.replaceAll(theirs, ours)
  }
  return startDaemon({ text })
}

/** A run's arguments, and "allowed" or its reason code with what said so, as ruleOf shortens it. */
export type Row = readonly [readonly string[], string]

/** Each as a real run of its own, all in one step. */
export async function expectVerdicts(
  daemon: Daemon,
  user: User,
  rows: readonly Row[],
  options?: RunOptions,
): Promise<void> {
  const before = await refusals(user)
  const argLists = rows.map(([args]) => [...args])
  const results = await hepwrapRuns(user, argLists, options)
  const refused = (await refusals(user)).slice(before.length)
  const said = results.map((result, index) => {
    const line = complaint(result)
    if (result.status === 0) return [argLists[index], 'allowed']
    const record = refused.shift()
    expect(line, 'the record has the reason that was said').toContain(`(${record?.reason ?? ''})`)
    return [argLists[index], `${record?.reason ?? ''} ${ruleOf(daemon, record)}`.trim()]
  })
  expect(said).toEqual(rows.map(([args, expected]) => [args, expected]))
  expect(refused).toEqual([])
}

export const refusals = (user: User): Promise<UsageRecord[]> => records(user, '--state', 'REFUSED')

/** 'rule "students": images.allow' of "FILE:LINE rule …", once that line of the file is found to say it. */
export function ruleOf(daemon: Daemon, record: UsageRecord | undefined): string {
  const rule = record?.rule ?? ''
  const [, file, line, rest = rule] = /^(\/\S+):(\d+) (.*)$/.exec(rule) ?? []
  if (file === undefined) return rest
  expect(file).toBe(daemon.configPath)
  const [, key = '', entry] = /: (\S+)(?: (".*"))?$/.exec(rest) ?? []
  const text = readFileSync(file, 'utf8').split('\n')[Number(line) - 1]
  expect(text, rule).toContain(entry ?? key.split('.').at(-1))
  return rest
}

/** Pushes a busybox whose /word is this, and forgets it here; its digest. */
export async function push(image: string, word: string): Promise<string> {
  const docker = async (...args: string[]) =>
    expectSuccess(await as('root').run(['docker', ...args])).stdout
  const name = `word-${word}`
  const container = (await docker('create', '--name', name, 'busybox:test', 'true')).trim()
  try {
    const copy = `echo ${word} >/tmp/word && docker cp /tmp/word ${container}:/word`
    expectSuccess(await as('root').run(['sh', '-c', copy]))
    await docker('commit', name, image)
  } finally {
    await docker('rm', name)
  }
  const digest = await pushImage(image)
  await docker('rmi', image)
  return digest
}

/** Directories of the site's, made by root. */
export const sites = async (script: string): Promise<void> =>
  void expectSuccess(await as('root').run(['sh', '-ec', script]))
