// aggregator.toml from the disk to a checked, frozen AggregatorConfig. Root's file, or the aggregator's own user's.
import { quote } from '../base/errors.js'
import { AggregatorConfigSchema, type AggregatorConfig } from './aggregator-schema.js'
import { checkedToml, deepFreeze, type Fault } from './checked-toml.js'
import { readGuardedFile, type Guard } from './guarded-file.js'

export const DEFAULT_AGGREGATOR_CONFIG_PATH = '/etc/hepwrap/aggregator.toml'

const READABLE_BY_OTHERS = 0o007

const ROOT_OR_SELF = (): Guard => ({ ownerUid: 0, orOwnerUid: process.getuid?.() ?? 0, below: '/' })

/** Reads and checks the file; throws HW_CONFIG_INVALID with one line a fault: "FILE:LINE: section.key: what is wrong (value)". */
export function loadAggregatorConfig(
  path = DEFAULT_AGGREGATOR_CONFIG_PATH,
  guard: Guard = ROOT_OR_SELF(),
): AggregatorConfig {
  const config = parseAggregatorConfig(readGuardedFile(path, guard), path)
  if (hasPassword(config.store.url))
    readGuardedFile(path, { ...guard, forbiddenMode: READABLE_BY_OTHERS })
  return config
}

/** The pure part; `file` is for messages. */
export function parseAggregatorConfig(text: string, file: string): AggregatorConfig {
  const { values, refuse } = checkedToml(AggregatorConfigSchema, text, file)
  refuse(crossFaults(values))
  return deepFreeze(values)
}

/** "[::1]:7780" in its parts, without the brackets. */
export function splitListen(listen: string): { readonly host: string; readonly port: number } {
  const colon = listen.lastIndexOf(':')
  return {
    host: listen.slice(0, colon).replace(/^\[|\]$/g, ''),
    port: Number(listen.slice(colon + 1)),
  }
}

/** Rules between keys, checked once every key is sound by itself. */
function* crossFaults({ server, auth, store }: AggregatorConfig): Generator<Fault> {
  const { host, port } = splitListen(server.listen)
  if (port < 1 || port > 65_535)
    yield {
      path: ['server', 'listen'],
      text: `must end in a port from 1 to 65535 (${quote(server.listen)})`,
    }
  if ((server.tls_cert === '') !== (server.tls_key === ''))
    yield {
      path: ['server', server.tls_cert === '' ? 'tls_cert' : 'tls_key'],
      text: 'must name a file, because the other of tls_cert and tls_key does ("")',
    }
  if (auth.method === 'token' && auth.token_file === '')
    yield {
      path: ['auth', 'token_file'],
      text: 'must name a file, because auth.method is "token" ("")',
    }
  if (auth.method === 'token' && server.tls_cert === '' && !isLoopback(host))
    yield {
      path: ['server', 'listen'],
      text: `tokens go over plain http only on this host: set tls_cert and tls_key, or listen on 127.0.0.1 (${quote(server.listen)})`,
    }
  if (store.url.startsWith('postgres') && !URL.canParse(store.url))
    yield { path: ['store', 'url'], text: 'must be sqlite:FILE or postgres://… (not a URL)' }
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host)

const hasPassword = (url: string): boolean =>
  URL.canParse(url) && (new URL(url).password !== '' || /[?&]password=/.test(url))
