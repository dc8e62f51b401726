// The ledger's schema, as steps that are never edited once released: PRAGMA user_version counts the steps taken.
import type { Database } from 'better-sqlite3'
import { HepwrapError } from '../base/errors.js'

const STEPS: readonly string[] = [
  `CREATE TABLE records (
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
    user               TEXT,
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
    created_at         TEXT NOT NULL,
    started_at         TEXT,
    ended_at           TEXT,
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
    -- not part of the record: what recovery needs to undo a run whose daemon died
    undo               TEXT
  ) STRICT;
  CREATE TABLE marks (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  CREATE INDEX records_open ON records (seq) WHERE state = 'RUNNING';
  CREATE INDEX records_uid ON records (uid, seq);
  CREATE INDEX records_job ON records (job_id, seq);
  CREATE INDEX records_created ON records (created_at);`,
  `ALTER TABLE records ADD COLUMN rule TEXT;`,
  // What the aggregator is told: each change of the ledger has a number, and \`marks\` says up to which they are sent.
  `ALTER TABLE records ADD COLUMN change_seq INTEGER NOT NULL DEFAULT 0;
  UPDATE records SET change_seq = seq;
  CREATE INDEX records_change ON records (change_seq);
  CREATE TABLE set_aside (
    id         TEXT PRIMARY KEY,
    change_seq INTEGER NOT NULL,
    said       TEXT NOT NULL,
    since      TEXT NOT NULL
  ) STRICT;
  CREATE TABLE node_facts (since TEXT PRIMARY KEY, facts TEXT NOT NULL, is_sent INTEGER NOT NULL) STRICT;
  INSERT INTO marks (name, value) VALUES
    ('ledger', lower(hex(randomblob(16)))),
    ('acked', '0'),
    ('dropped', '0'),
    ('last_change', (SELECT CAST(coalesce(max(seq), 0) AS TEXT) FROM records));`,
]

/** Brings the schema up to date, each step in a transaction of its own; refuses a ledger of a newer version. */
export function migrate(db: Database): void {
  const taken = db.pragma('user_version', { simple: true }) as number
  if (taken > STEPS.length)
    throw new HepwrapError(
      'HW_LEDGER_UNAVAILABLE',
      `the ledger ${db.name} has schema version ${taken}; this hepwrapd knows up to ${STEPS.length}`,
    )
  STEPS.slice(taken).forEach((step, index) => {
    db.transaction(() => {
      db.exec(step)
      db.pragma(`user_version = ${taken + index + 1}`)
    })()
  })
}
