// A run request with nothing in it but what every one has.
import type { RunRequest } from '../../src/wire/run-api.js'

export const someRequest = (fields: Partial<RunRequest> = {}): RunRequest => ({
  image: 'busybox',
  command: [],
  env: {},
  host_env: {},
  all_host_env: false,
  interactive: false,
  tty: false,
  labels: {},
  read_only: false,
  ulimits: [],
  mounts: [],
  tmpfs: [],
  forbidden: [],
  cwd: '/',
  verbose: false,
  ...fields,
})
