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

/** Undefined: none is configured. */
export function chooseAggregator(line: VerbLine): AggregatorChoice | undefined {
  const configured = readConfiguredAccounting(line.configPath ?? DEFAULT_CONFIG, {
    mayBeAbsent: line.configPath === undefined,
  })
  const own = (option: string, variable: string) => line.value(option) ?? fromEnvironment(variable)
  const url = own('aggregator', 'HEPWRAP_AGGREGATOR') ?? configured.aggregator
  if (url === '') return undefined
  const { auth, ca_file } = url === configured.aggregator ? configured : { auth: '', ca_file: '' }
  const tokenFile = own('token-file', 'HEPWRAP_TOKEN_FILE')
  // The configured token is the node's: good to write with, not to read.
  if (tokenFile === undefined && auth === 'token') throw noToken(url)
  return {
    url: checkUrl(url),
    auth: tokenFile === undefined ? 'munge' : 'token',
    tokenFile: tokenFile ?? '',
    caFile: own('ca-file', 'HEPWRAP_CA_FILE') ?? ca_file,
  }
}

const noToken = (url: string) =>
  new HepwrapError(
    'HW_USAGE',
    `the aggregator ${quote(url)} wants a token: give yours by --token-file FILE or HEPWRAP_TOKEN_FILE`,
  )

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
