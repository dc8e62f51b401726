// Change number SEQ of the made-up ledger: the same each time.
export const LEDGER = 'e'.repeat(32)
export const NODE = 'n1'

export function makeChange(seq) {
  const index = Math.floor((seq - 1) / 2)
  const isRunning = seq % 2 === 1
  const endMs = Date.UTC(2026, 0, 1) + index * 1_200_000
  const iso = (ms) => new Date(ms).toISOString()
  return {
    id: index.toString(16).padStart(32, '0'),
    cluster: 'hepp',
    node: NODE,
    job_id: index,
    array_job_id: null,
    array_task_id: null,
    het_offset: null,
    restart_count: 0,
    step_id: '0',
    task: 0,
    user: `user${index % 5}`,
    uid: 2000 + (index % 5),
    group: 'atlas',
    gid: 3000,
    account: `account${index % 3}`,
    partition: 'main',
    image: `image${index % 4}`,
    image_id: null,
    image_digest: null,
    command: 'true',
    name: null,
    labels: { a: 'b' },
    engine: null,
    engine_version: null,
    state: isRunning ? 'RUNNING' : index % 9 === 0 ? 'FAILED' : 'COMPLETED',
    reason: null,
    exit_code: isRunning ? null : 0,
    signal: null,
    oom_kills: null,
    created_at: iso(endMs - 3_600_000),
    started_at: iso(endMs - 3_500_000),
    ended_at: isRunning ? null : iso(endMs),
    pull_ms: null,
    setup_ms: null,
    cpu_user_usec: isRunning ? null : index * 1000,
    cpu_system_usec: isRunning ? null : index,
    memory_peak_bytes: isRunning ? null : 2 ** 20 * index,
    io_read_bytes: isRunning ? null : index * 3,
    io_write_bytes: null,
    pids_peak: null,
    cpus: 2,
    memory_limit_bytes: null,
    gres: null,
    rule: null,
  }
}
