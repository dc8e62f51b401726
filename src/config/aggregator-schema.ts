// aggregator.toml: every key with its type, its default and, for messages, what it must be. CONTRACT.md names the keys.
import { Type, type Static } from '@sinclair/typebox'
import { count, oneOf, PATH, section, text, type Frozen } from './value-types.js'

// "127.0.0.1:7780", "[::]:7780", "acct.example:7780".
const LISTEN = '^(?:\\[[0-9A-Fa-f:.]{2,45}\\]|[A-Za-z0-9.-]{1,253}):[0-9]{1,5}$'
const USER = '^[^\\s:/\\u0000-\\u001f]{1,64}$'
const CLUSTER = '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'
const optionalPath = () => text('an absolute path, or empty', '', { pattern: `^$|${PATH}` })

export const AggregatorConfigSchema = section({
  server: section({
    listen: text('ADDRESS:PORT, like "127.0.0.1:7780"', '127.0.0.1:7780', { pattern: LISTEN }),
    /** PEM; both or none. */
    tls_cert: optionalPath(),
    tls_key: optionalPath(),
    log_level: oneOf(['info', 'trace', 'debug', 'warn', 'error', 'fatal'], 'info'),
    /** Bodies that may be on their way at once, and again as much of what is unpacked and not yet stored. */
    max_in_flight_mb: count(32, 65_536, 64),
    /** For a request to arrive whole. */
    request_timeout_s: count(1, 3600, 30),
  }),
  store: section({
    url: text('sqlite:FILE or postgres://…', 'sqlite:/var/lib/hepwrap/aggregator.db', {
      pattern: `^(?:sqlite:${PATH.slice(1, -1)}|postgres(?:ql)?://\\S+)$`,
    }),
    /** Records that ended before go; their sums stay. 0: all are kept for ever. */
    keep_days: count(0, 36_500, 0),
  }),
  auth: section({
    method: oneOf(['munge', 'token'], 'munge'),
    token_file: optionalPath(),
    operators: Type.Array(Type.String({ pattern: USER, expects: 'the name of a user' }), {
      expects: 'a list of names of users',
      default: ['root'],
    }),
    /** Clusters whose records are taken; empty: of all. */
    clusters: Type.Array(Type.String({ pattern: CLUSTER, expects: 'the name of a cluster' }), {
      expects: 'a list of names of clusters',
      default: [],
    }),
    /** resolve: root writes for a node only from the address that the node's name has. */
    node_address: oneOf(['resolve', 'any'], 'resolve'),
  }),
})

export type AggregatorConfig = Frozen<Static<typeof AggregatorConfigSchema>>
