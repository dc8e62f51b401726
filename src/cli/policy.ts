// `hepwrap policy check|show --as USER …`: what the site says, for root. Starts nothing.
import { HepwrapError, printableJson, quote } from '../base/errors.js'
import type { DryRun, PolicyShown } from '../wire/policy-api.js'
import { askDaemon } from './daemon-api.js'
import { describeDryRun } from './dry-run-report.js'
import { printHelp } from './help.js'
import type { OptionSpec } from './options.js'
import { print } from './print.js'
import { parseRunLine } from './run-options.js'
import { buildRequest } from './run-request.js'
import { oneLine } from './say.js'
import { parseVerbLine } from './verb-line.js'

const OPTIONS: readonly OptionSpec[] = [
  { name: 'as', takesValue: true },
  { name: 'account', takesValue: true },
  { name: 'partition', takesValue: true },
  { name: 'json', takesValue: false },
]

interface PolicyLine {
  readonly socketPath: string
  readonly as: { readonly user: string; readonly account?: string; readonly partition?: string }
  readonly json: boolean
  readonly rest: readonly string[]
}

export async function policy(args: readonly string[], config: string | undefined): Promise<number> {
  const [verb, ...words] = args
  if (verb === undefined || verb === '--help' || verb === '-h') return printHelp('policy')
  if (verb !== 'check' && verb !== 'show')
    throw new HepwrapError('HW_USAGE', `policy ${quote(verb)}: check or show is meant`)
  const line = await parseLine(words, config)
  if (line === undefined) return printHelp('policy')
  return verb === 'check' ? check(line) : show(line)
}

async function parseLine(
  words: readonly string[],
  config: string | undefined,
): Promise<PolicyLine | undefined> {
  const line = await parseVerbLine(words, config, OPTIONS, { stopAtOperand: true })
  if (line.help) return undefined
  const [user, account, partition] = ['as', 'account', 'partition'].map((name) => line.value(name))
  if (user === undefined) throw new HepwrapError('HW_USAGE', 'whom for? --as USER is missing')
  const job = {
    ...(account !== undefined && { account }),
    ...(partition !== undefined && { partition }),
  }
  const { socketPath, operands: rest } = line
  return { socketPath, as: { user, ...job }, json: line.has('json'), rest }
}

const showOf = ({ socketPath, as }: PolicyLine): Promise<PolicyShown> =>
  askDaemon(socketPath, 'GET', `/v1/policy?${new URLSearchParams(as).toString()}`)

async function show(line: PolicyLine): Promise<number> {
  const [first] = line.rest
  if (first !== undefined)
    throw new HepwrapError('HW_USAGE', `policy show takes no argument, got ${quote(first)}`)
  const shown = await showOf(line)
  await print(line.json ? `${printableJson(shown, 2)}\n` : describeShown(shown))
  return 0
}

function describeShown({ user, settings }: PolicyShown): string {
  const groups = user.groups.join(',')
  const head = `user ${user.name ?? 'without a name'} uid ${user.uid} gid ${user.gid} groups ${groups}`
  const rows = settings.map(({ key, value, decided_by: by }) => ({
    text: `${key} = ${value === null ? '[]' : JSON.stringify(value)}`,
    by,
  }))
  const width = Math.min(60, Math.max(...rows.map(({ text }) => text.length)))
  return (
    `${oneLine(head)}\n\n` +
    rows.map(({ text, by }) => `${oneLine(text).padEnd(width)}  ${oneLine(by)}\n`).join('')
  )
}

/** As the user would write it: his HOME, but our working directory. */
async function check(line: PolicyLine): Promise<number> {
  const [run, ...args] = line.rest
  if (run !== 'run')
    throw new HepwrapError(
      'HW_USAGE',
      `policy check ${quote(run ?? '')}: hepwrap policy check --as USER run [options] IMAGE [COMMAND...]`,
    )
  const { user } = await showOf(line)
  const environment = {
    ...process.env,
    ...(user.name !== null && { USER: user.name, LOGNAME: user.name }),
    ...(user.home !== null && { HOME: user.home }),
    ...(user.shell !== null && { SHELL: user.shell }),
  }
  const request = buildRequest(parseRunLine(args, environment), environment, undefined)
  const report = await askDaemon<DryRun>(line.socketPath, 'POST', '/v1/policy/check', {
    as: line.as,
    request,
  })
  await print(line.json ? `${printableJson(report, 2)}\n` : describeDryRun(report))
  return report.verdict === 'allowed' ? 0 : 1
}
