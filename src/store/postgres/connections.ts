// Connections to PostgreSQL: transactions, reconnecting after a loss, and every failure as HW_STORE_UNAVAILABLE.
import pg from 'pg'
import { HepwrapError } from '../../base/errors.js'
import type { Dialect } from '../dialect.js'
import { unavailable } from '../unavailable.js'

export interface Connections {
  /** "postgres://user@host:5432/database"; never a password. */
  readonly description: string
  /** One writer at a time, whichever aggregator it is of: what is decided by what is there stays true until the commit. */
  readonly write: <T>(action: (client: pg.ClientBase) => Promise<T>) => Promise<T>
  /** All of it sees the same moment. */
  readonly read: <T>(action: (client: pg.ClientBase) => Promise<T>) => Promise<T>
  readonly close: () => Promise<void>
}

const CONNECT_TIMEOUT_MS = 10_000
const STATEMENT_TIMEOUT_MS = 60_000
/** Where the server does not even say that it takes too long. */
const QUERY_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 15_000
const MAX_CONNECTIONS = 6

/** Of a lock that nobody else in this database has a use for. */
const WRITER_LOCK = 0x68657077

export function openConnections(url: string): Connections {
  const config: pg.PoolConfig = {
    connectionString: url,
    max: MAX_CONNECTIONS,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    idle_in_transaction_session_timeout: STATEMENT_TIMEOUT_MS,
    keepAlive: true,
    application_name: 'hepwrap-aggregator',
    types: createTypes(),
  }
  const description = describe(config)
  const pool = new pg.Pool(config)
  // An idle connection that is lost is no one's failure: the next call makes another.
  pool.on('error', () => undefined)

  const transaction = async <T>(
    begin: string,
    action: (client: pg.ClientBase) => Promise<T>,
  ): Promise<T> => {
    try {
      return await committed(await pool.connect(), begin, action)
    } catch (thrown) {
      if (thrown instanceof HepwrapError || thrown instanceof TypeError) throw thrown
      if (isOfValues(thrown)) throw thrown
      throw unavailable(description, thrown)
    }
  }

  return {
    description,
    write: async (action) =>
      transaction('BEGIN', async (client) => {
        await client.query(
          `SET LOCAL synchronous_commit TO on; SELECT pg_advisory_xact_lock(${WRITER_LOCK})`,
        )
        return action(client)
      }),
    read: async (action) => transaction('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY', action),
    close: async () => pool.end(),
  }
}

/** What is wrong with what was to be written, and would be the next time, too: data exception, constraint, too long. */
const isOfValues = (thrown: unknown): boolean =>
  thrown instanceof pg.DatabaseError && /^(22|23|54)/.test(thrown.code ?? '')

async function committed<T>(
  client: pg.PoolClient,
  begin: string,
  action: (client: pg.ClientBase) => Promise<T>,
): Promise<T> {
  // A connection that is lost while it is ours says so to the query that waits; without a listener it would end us.
  const onError = () => undefined
  client.on('error', onError)
  try {
    await client.query(begin)
    const result = await action(client)
    await client.query('COMMIT')
    client.off('error', onError)
    client.release()
    return result
  } catch (thrown) {
    // Without its connection a transaction is rolled back, whatever state it was in.
    client.release(true)
    throw thrown
  }
}

/** As pg itself understands URL, environment and defaults. */
function describe(config: pg.PoolConfig): string {
  try {
    const { user = '', host, port, database = '' } = new pg.Client(config)
    return `postgres://${user}@${host}:${port}/${database}`
  } catch (cause) {
    throw new HepwrapError(
      'HW_CONFIG_INVALID',
      'the store url is not postgres://USER@HOST/DATABASE',
      { cause },
    )
  }
}

const INT8 = 20

/** Whole numbers as numbers: none that we keep is beyond 2^53, and sums are asked for as float8. */
function createTypes(): pg.TypeOverrides {
  const types = new pg.TypeOverrides()
  types.setTypeParser(INT8, Number)
  return types
}

export const POSTGRES: Dialect = {
  binding: () => {
    const values: (string | number | null)[] = []
    return { values, bind: (value) => `$${values.push(value)}` }
  },
  glob: (column, pattern, binding) => `${column} LIKE ${binding.bind(toLike(pattern))} ESCAPE '\\'`,
  wholeSum: (column) => `sum(${column})::bigint`,
  monthOf: (column) =>
    `(extract(epoch FROM date_trunc('month', to_timestamp((${column}) * 3600.0) AT TIME ZONE 'UTC')) / 3600)::bigint`,
  sum: (column) => `sum(${column})::float8`,
  join: 'JOIN',
  bytewise: ' COLLATE "C"',
}

const toLike = (glob: string): string =>
  glob
    .replace(/[\\%_]/g, '\\$&')
    .replaceAll('*', '%')
    .replaceAll('?', '_')
