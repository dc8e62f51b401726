// The sums' names in their order, apart from the schemas: the client loads no schema library.
import type { UsageSums } from './report-api.js'

/** One that is missing here does not compile. */
const SUMS = {
  runs: true,
  failed: true,
  refused: true,
  elapsed_ms: true,
  cpu_usec: true,
  alloc_cpu_usec: true,
  used_cpu_usec: true,
  memory_mib_s: true,
  io_read_bytes: true,
  io_write_bytes: true,
} satisfies Record<keyof UsageSums, true>

/** The order of rollups' columns and of exact reports. */
export const USAGE_SUMS = Object.keys(SUMS) as readonly (keyof UsageSums)[]
