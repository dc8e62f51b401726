// Whom a rule is for, and which of several says the last word.
import { describe, expect, it } from 'vitest'
import { layersFor } from '../../../src/rules/match.js'
import type { Subject } from '../../../src/rules/subject.js'
import { codeAndText, configOf, SUBJECT } from '../plan/plan-fixture.js'

const ada: Partial<Subject> = {
  groups: [
    { gid: 100, name: 'users' },
    { gid: 500, name: undefined },
  ],
}

/** The names of the rules that hold for ada, the least specific first. */
const holding = (rules: readonly string[], subject: Partial<Subject> = {}) => {
  const toml = rules.map((rule, index) => `[[rule]]\nname = "${index}"\n${rule}\n`).join('')
  const { layers } = configOf(toml)
  return layersFor({ ...SUBJECT, ...ada, ...subject }, layers)
    .slice(1)
    .map(({ name }) => Number(name.replace(/\D/g, '')))
}

describe('a rule is for whom it names', () => {
  it.each([
    'users = ["ada"]',
    'users = ["bob", "ada"]',
    'users = ["a*"]',
    'users = ["???"]',
    'users = ["1000"]',
    'groups = ["users"]',
    'groups = ["u*"]',
    'groups = ["500"]',
    'accounts = ["physics"]',
    'accounts = ["*"]',
    'partitions = ["main"]',
    'clusters = ["hepp"]',
    'nodes = ["n?"]',
    'users = ["ada"]\naccounts = ["physics"]\nnodes = ["n1"]',
  ])('%j', (rule) => expect(holding([rule])).toEqual([0]))
})

describe('a rule is for nobody else', () => {
  it.each([
    'users = ["Ada"]',
    'users = ["ad"]',
    'users = ["adam"]',
    'users = ["root"]',
    'users = ["100"]', // a gid is no uid
    'groups = ["ada"]',
    'groups = ["1000"]',
    'groups = ["50"]',
    'accounts = ["physic"]',
    'partitions = ["physics"]',
    'clusters = ["n1"]',
    'nodes = ["n2"]',
    'users = ["ada"]\naccounts = ["chemistry"]',
  ])('%j', (rule) => expect(holding([rule])).toEqual([]))
})

describe('of rules that are for the same run', () => {
  it.each<[string, readonly string[], readonly number[]]>([
    ['the later is the last', ['users = ["ada"]', 'users = ["ada"]'], [0, 1]],
    ['a user outweighs a later group', ['users = ["ada"]', 'groups = ["users"]'], [1, 0]],
    ['a glob of users outweighs a group', ['users = ["*"]', 'groups = ["users"]'], [1, 0]],
    ['an exact name outweighs a later glob', ['users = ["ada"]', 'users = ["a*"]'], [1, 0]],
    ['a group outweighs an account', ['groups = ["u*"]', 'accounts = ["physics"]'], [1, 0]],
    ['an account outweighs a partition', ['accounts = ["*"]', 'partitions = ["main"]'], [1, 0]],
    ['a partition outweighs a cluster', ['partitions = ["*"]', 'clusters = ["hepp"]'], [1, 0]],
    ['a cluster outweighs a node', ['clusters = ["*"]', 'nodes = ["n1"]'], [1, 0]],
    [
      'two agree on the user, and one says the account too',
      ['users = ["ada"]\naccounts = ["physics"]', 'users = ["ada"]'],
      [1, 0],
    ],
    [
      'more of what weighs less does not outweigh',
      ['users = ["a*"]', 'groups = ["users"]\naccounts = ["physics"]\nnodes = ["n1"]'],
      [1, 0],
    ],
  ])('%s', (_what, rules, order) => expect(holding(rules)).toEqual(order))
})

describe('what is not known of a job', () => {
  const job = { title: 'job 42', account: undefined, partition: undefined }
  const asked = (rule: string, subject: Partial<Subject>) =>
    codeAndText(() => holding([rule], subject))

  it.each([
    ['accounts = ["chemistry"]', 'accounts'],
    ['partitions = ["gpu"]', 'partitions'],
    ['users = ["ada"]\naccounts = ["x"]', 'accounts'],
  ])('%j is asked for in vain: no run, for the rule might forbid it', (rule, key) =>
    expect(asked(rule, { job })).toBe(
      `HW_JOB_UNANNOUNCED job 42 has not been announced with what rule "0" asks for (${key})`,
    ),
  )

  it('does not matter where the rule is for another', () =>
    expect(holding(['users = ["bob"]\naccounts = ["x"]'], { job })).toEqual([]))

  it('outside of any job there is no account that a rule could name', () =>
    expect(holding(['accounts = ["*"]', 'partitions = ["*"]'], { job: undefined })).toEqual([]))
})
