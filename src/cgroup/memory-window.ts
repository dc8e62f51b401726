// How much memory a run took at its peak, on cgroup v2: a threaded cgroup has no memory controller, so the kernel counts it in
// the leaf, together with the client's and whatever else the task does. What was measured: docs/decisions/0009.
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../base/clock.js'
import { PAGE_BYTES } from '../kernel/page-size.js'
import { keyOf, parseCount, readControl, readCount } from './files.js'
import { ownMemoryBytes } from './own-memory.js'

/** At first often, then once a second; a sample that took long is not repeated soon. */
const SAMPLE_MS = 1000
const FIRST_SAMPLE_MS = 10
const PAUSE_PER_SAMPLE = 4

export interface MemoryWindow {
  /** Since the window was opened, above what the leaf held then; undefined where the kernel does not tell. */
  peakBytes(): number | undefined
  /** Another run is in the leaf: from now on the figure is the largest sample of this run's own processes. */
  share(): void
  close(): void
}

/** What watches a leaf's whole memory. */
export interface PeakWatch {
  readonly atStartBytes: number | undefined
  peakBytes(): number | undefined
  /** To be called now and then, where the kernel does not watch by itself. */
  readonly sample?: () => void
  close(): void
}

export interface MemorySeams {
  readonly watch: (leaf: string) => PeakWatch
  readonly ownBytes: (leaf: string, own: string) => Promise<number>
}

/** `own` is the run's directory below the leaf; to be opened before any process is in it. */
export function openMemoryWindow(
  leaf: string,
  own: string,
  seams: Partial<MemorySeams> = {},
): MemoryWindow {
  const { watch = watchLeaf, ownBytes = ownMemoryBytes } = seams
  const before = reclaimableOf(leaf)
  const leafWatch = watch(leaf)
  let aloneBytes: number | undefined
  let sampledBytes = 0
  let isShared = false
  let isClosed = false

  const alone = () => {
    const { atStartBytes = NaN } = leafWatch
    // What was reclaimed since then may have been cache from before, dropped for what the run needs: it was not there any more.
    const droppedBytes = Math.min(
      before.cacheBytes,
      reclaimableOf(leaf).everBytes - before.everBytes,
    )
    const bytes = (leafWatch.peakBytes() ?? NaN) - (atStartBytes - droppedBytes)
    return bytes > 0 ? bytes : undefined
  }
  const sample = async () => {
    if (isShared) sampledBytes = Math.max(sampledBytes, await ownBytes(leaf, own))
    else leafWatch.sample?.()
  }
  const keepSampling = async () => {
    const startMs = systemClock.monotonicMs()
    while (!isClosed) {
      const atMs = systemClock.monotonicMs()
      await sample()
      const tookMs = systemClock.monotonicMs() - atMs
      const paceMs = Math.min(SAMPLE_MS, Math.max(FIRST_SAMPLE_MS, (atMs - startMs) / 4))
      await sleep(Math.max(paceMs, tookMs * PAUSE_PER_SAMPLE), undefined, { ref: false })
    }
  }
  if (leafWatch.sample !== undefined) void keepSampling()
  return {
    peakBytes: () => {
      if (!isShared) return alone()
      return Math.max(aloneBytes ?? 0, sampledBytes) || undefined
    },
    share: () => {
      if (isShared) return
      aloneBytes = alone()
      isShared = true
      if (leafWatch.sample === undefined) void keepSampling()
    },
    close: () => {
      isClosed = true
      leafWatch.close()
    },
  }
}

/** What of the leaf's memory the kernel can drop, and how much it ever has. */
function reclaimableOf(leaf: string): { readonly cacheBytes: number; readonly everBytes: number } {
  const stat = readControl(leaf, 'memory.stat')
  const bytesOf = (key: string) => keyOf(stat, key) ?? 0
  return {
    cacheBytes: bytesOf('inactive_file') + bytesOf('active_file') + bytesOf('slab_reclaimable'),
    everBytes: bytesOf('pgsteal') * PAGE_BYTES,
  }
}

const watchLeaf = (leaf: string): PeakWatch => watchReset(leaf) ?? watchGrowth(leaf)

/** Linux 6.12: whoever writes to memory.peak reads, through that very descriptor, the peak since then. */
function watchReset(leaf: string): PeakWatch | undefined {
  let fd: number
  try {
    fd = openSync(`${leaf}/memory.peak`, constants.O_RDWR | constants.O_NOFOLLOW)
  } catch {
    return undefined // no such file, or one that cannot be written
  }
  const read = () => {
    const text = Buffer.alloc(32)
    try {
      return parseCount(text.toString('latin1', 0, readSync(fd, text, 0, text.length, 0)).trim())
    } catch {
      return undefined // the leaf is gone
    }
  }
  try {
    writeSync(fd, 'reset')
  } catch {
    closeSync(fd)
    return undefined
  }
  return { atStartBytes: read(), peakBytes: read, close: () => closeSync(fd) }
}

/** Before: a peak that has grown is of this time; else it is the highest of the samples. memory.peak is of Linux 5.19. */
export function watchGrowth(leaf: string): PeakWatch {
  const now = () => readCount(leaf, 'memory.current')
  const peak = () => readCount(leaf, 'memory.peak') ?? 0
  const atStartBytes = now()
  const peakBefore = peak()
  let highest = atStartBytes
  const sample = () => {
    highest = Math.max(highest ?? 0, now() ?? 0)
  }
  return {
    atStartBytes,
    sample,
    peakBytes: () => {
      sample()
      return peak() > peakBefore ? peak() : highest
    },
    close: () => undefined,
  }
}
