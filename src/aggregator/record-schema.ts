// What a record must be to be taken, compiled once. Only types and ranges: a text that a user has put into his own record
// must never keep that record from being counted.
import { Type, type TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { STATES, type UsageRecord } from '../wire/usage-api.js'

const RFC3339_UTC =
  '^[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?Z$'
const NAME = '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'
const NODE_EXPECTED = 'a name of letters, digits, ".", "_" and "-"'

const text = Type.String({ expects: 'a text' })
const name = Type.String({ pattern: NAME, expects: NODE_EXPECTED })
const time = Type.String({
  pattern: RFC3339_UTC,
  expects: 'a time like "2026-01-31T12:00:00.000Z"',
})
const count = Type.Integer({
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
  expects: 'a whole number from 0 up',
})
const id = Type.Integer({ minimum: 0, maximum: 0xffffffff, expects: 'a whole number of 32 bits' })
const amount = Type.Number({ minimum: 0, maximum: 1e15, expects: 'a number from 0 up' })
const orNull = (schema: TSchema) =>
  Type.Union([schema, Type.Null()], { expects: `${String(schema['expects'])}, or null` })

/** One schema a field; one that is missing here does not compile. */
const FIELDS = {
  id: Type.String({
    pattern: '^[A-Za-z0-9._:-]{1,64}$',
    expects: '1 to 64 letters, digits, ".", "_", ":" or "-"',
  }),
  cluster: name,
  node: name,
  job_id: orNull(id),
  array_job_id: orNull(id),
  array_task_id: orNull(id),
  het_offset: orNull(id),
  restart_count: orNull(id),
  step_id: orNull(text),
  task: orNull(id),
  user: orNull(text),
  uid: id,
  group: orNull(text),
  gid: id,
  account: orNull(text),
  partition: orNull(text),
  image: text,
  image_id: orNull(text),
  image_digest: orNull(text),
  command: text,
  name: orNull(text),
  labels: orNull(Type.Record(Type.String(), text, { expects: 'a table of texts' })),
  engine: orNull(text),
  engine_version: orNull(text),
  state: Type.String({
    pattern: `^(?:${STATES.join('|')})$`,
    expects: `one of ${STATES.join(', ')}`,
  }),
  reason: orNull(text),
  exit_code: orNull(id),
  signal: orNull(id),
  oom_kills: orNull(count),
  created_at: time,
  started_at: orNull(time),
  ended_at: orNull(time),
  pull_ms: orNull(amount),
  setup_ms: orNull(amount),
  cpu_user_usec: orNull(count),
  cpu_system_usec: orNull(count),
  memory_peak_bytes: orNull(count),
  io_read_bytes: orNull(count),
  io_write_bytes: orNull(count),
  pids_peak: orNull(count),
  cpus: orNull(amount),
  memory_limit_bytes: orNull(count),
  gres: orNull(text),
  rule: orNull(text),
} satisfies Record<keyof UsageRecord, TSchema>

export const RecordSchema = Type.Object(FIELDS)
export const checkRecord = TypeCompiler.Compile(RecordSchema)
