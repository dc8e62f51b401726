// Which aggregator, and how to prove to it who asks: --aggregator, HEPWRAP_AGGREGATOR, or [accounting] of a hepwrapd.toml.
import { HepwrapError, quote } from '../base/errors.js'
import { readConfiguredAccounting } from './configured-socket.js'
import type { VerbLine } from './verb-line.js'

export interface AggregatorChoice {
  readonly url: string
  readonly auth: 'munge' | 'token'
  readonly tokenFile: string
  readonly caFile: string
}

const DEFAULT_CONFIG = '/etc/hepwrap/hepwrapd.toml'

/** Undefined: none is configured. A token or a CA that is named here goes before those of the file. */
export function chooseAggregator(line: VerbLine): AggregatorChoice | undefined {
  const configured = readConfiguredAccounting(line.configPath ?? DEFAULT_CONFIG, {
    mayBeAbsent: line.configPath === undefined,
  })
  const named = line.value('aggregator') ?? fromEnvironment('HEPWRAP_AGGREGATOR')
  const url = named ?? configured.aggregator
  if (url === '') return undefined
  // The node's token is for its own aggregator alone.
  const { auth, token_file, ca_file } = url === configured.aggregator ? configured : NOTHING
  const tokenFile = line.value('token-file') ?? fromEnvironment('HEPWRAP_TOKEN_FILE')
  return {
    url: checkUrl(url),
    auth: tokenFile !== undefined || auth === 'token' ? 'token' : 'munge',
    tokenFile: tokenFile ?? token_file,
    caFile: line.value('ca-file') ?? fromEnvironment('HEPWRAP_CA_FILE') ?? ca_file,
  }
}

const NOTHING = { auth: '', token_file: '', ca_file: '' }

function fromEnvironment(name: string): string | undefined {
  const value = process.env[name]
  return value === '' ? undefined : value
}

function checkUrl(url: string): string {
  if (/^https?:\/\/[^\s/?#@]+\/?$/.test(url)) return url
  throw new HepwrapError(
    'HW_OPTION_INVALID',
    `the aggregator ${quote(url)} must be an http:// or https:// address without a path`,
  )
}
