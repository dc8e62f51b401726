// The store's schema in SQLite, as steps that are never edited once released: PRAGMA user_version counts the steps taken.
import type { Database } from 'better-sqlite3'
import { HepwrapError } from '../../base/errors.js'

const STEPS: readonly string[] = [
  `CREATE TABLE ledgers (
    number        INTEGER PRIMARY KEY,
    cluster       TEXT NOT NULL,
    node          TEXT NOT NULL,
    ledger        TEXT NOT NULL,
    acked         INTEGER NOT NULL,
    first_seen_ms INTEGER NOT NULL,
    last_seen_ms  INTEGER NOT NULL,
    -- of all ledgers of a node the one that sent last has the highest
    turn          INTEGER NOT NULL,
    UNIQUE (cluster, node, ledger)
  ) STRICT;
  CREATE TABLE records (
    -- the order of arrival
    seq                INTEGER PRIMARY KEY,
    id                 TEXT NOT NULL UNIQUE,
    cluster            TEXT NOT NULL,
    node               TEXT NOT NULL,
    job_id             INTEGER,
    array_job_id       INTEGER,
    array_task_id      INTEGER,
    het_offset         INTEGER,
    restart_count      INTEGER,
    step_id            TEXT,
    task               INTEGER,
    "user"             TEXT,
    uid                INTEGER NOT NULL,
    "group"            TEXT,
    gid                INTEGER NOT NULL,
    account            TEXT,
    partition          TEXT,
    image              TEXT NOT NULL,
    image_id           TEXT,
    image_digest       TEXT,
    command            TEXT NOT NULL,
    name               TEXT,
    labels             TEXT,
    engine             TEXT,
    engine_version     TEXT,
    state              TEXT NOT NULL,
    reason             TEXT,
    exit_code          INTEGER,
    signal             INTEGER,
    oom_kills          INTEGER,
    -- times are ms since the epoch
    created_at         INTEGER NOT NULL,
    started_at         INTEGER,
    ended_at           INTEGER,
    pull_ms            INTEGER,
    setup_ms           INTEGER,
    cpu_user_usec      INTEGER,
    cpu_system_usec    INTEGER,
    memory_peak_bytes  INTEGER,
    io_read_bytes      INTEGER,
    io_write_bytes     INTEGER,
    pids_peak          INTEGER,
    cpus               REAL,
    memory_limit_bytes INTEGER,
    gres               TEXT,
    rule               TEXT,
    -- when it counts; null while it runs
    closed_ms          INTEGER,
    change_seq         INTEGER NOT NULL,
    -- the ledger that told of it last, by its number
    ledger             INTEGER
  ) STRICT;
  CREATE INDEX records_created ON records (created_at);
  CREATE INDEX records_uid ON records (uid, created_at);
  CREATE INDEX records_closed ON records (closed_ms);
  CREATE INDEX records_job ON records (job_id);
  CREATE INDEX records_array ON records (array_job_id) WHERE array_job_id IS NOT NULL;
  CREATE INDEX records_long ON records (created_at) WHERE (state = 'RUNNING' OR closed_ms - created_at > 604800000);
  -- records that are gone and must not be counted again
  CREATE TABLE expired (id ANY PRIMARY KEY) STRICT, WITHOUT ROWID;
  CREATE TABLE names (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
  -- names by their id, 0 for none
  CREATE TABLE entities (
    cut     INTEGER NOT NULL,
    id      INTEGER NOT NULL,
    cluster INTEGER NOT NULL,
    uid     INTEGER NOT NULL,
    "user"  INTEGER NOT NULL,
    account INTEGER NOT NULL,
    image   INTEGER NOT NULL,
    node    INTEGER NOT NULL,
    state   INTEGER NOT NULL,
    PRIMARY KEY (cut, id),
    UNIQUE (cut, cluster, uid, "user", account, image, node, state)
  ) STRICT, WITHOUT ROWID;
  ${sumsTable('rollup_hours', 'cut INTEGER NOT NULL, period INTEGER NOT NULL, entity INTEGER NOT NULL', 'cut, period, entity')}
  ${sumsTable('rollups', 'grain INTEGER NOT NULL, entity INTEGER NOT NULL, period INTEGER NOT NULL', 'grain, entity, period')}
  CREATE TABLE facts (
    cluster  TEXT NOT NULL,
    node     TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    facts    TEXT NOT NULL,
    PRIMARY KEY (cluster, node, since_ms)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE marks (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;`,
]

function sumsTable(name: string, keys: string, primaryKey: string): string {
  return `CREATE TABLE ${name} (
    ${keys},
    runs INTEGER NOT NULL, failed INTEGER NOT NULL, refused INTEGER NOT NULL, elapsed_ms INTEGER NOT NULL,
    cpu_usec INTEGER NOT NULL, alloc_cpu_usec INTEGER NOT NULL, used_cpu_usec INTEGER NOT NULL,
    memory_mib_s INTEGER NOT NULL, io_read_bytes INTEGER NOT NULL, io_write_bytes INTEGER NOT NULL,
    PRIMARY KEY (${primaryKey})
  ) STRICT, WITHOUT ROWID;`
}

/** Brings the schema up to date, each step in a transaction of its own; refuses a store of a newer version. */
export function migrate(db: Database): void {
  for (let more = true; more;) {
    // The version is read under the lock: two programs may open a new store at once.
    more = db
      .transaction(() => {
        const taken = db.pragma('user_version', { simple: true }) as number
        if (taken > STEPS.length)
          throw new HepwrapError(
            'HW_STORE_UNAVAILABLE',
            `the store ${db.name} has schema version ${taken}; this hepwrap-aggregator knows up to ${STEPS.length}`,
          )
        const step = STEPS[taken]
        if (step === undefined) return false
        db.exec(step)
        db.pragma(`user_version = ${taken + 1}`)
        return true
      })
      .immediate()
  }
}
