// Resource limits by name.

/** Docker's names of the limits that Linux has; -1 is unlimited. */
export const ULIMIT_NAMES: readonly string[] = [
  ...['core', 'cpu', 'data', 'fsize', 'locks', 'memlock', 'msgqueue', 'nice', 'nofile', 'nproc'],
  ...['rss', 'rtprio', 'rttime', 'sigpending', 'stack'],
]
