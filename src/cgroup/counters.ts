// A run's counters from the gate to its end. On cgroup v1 they are all its own. On v2 memory, io and OOM kills are counted in
// the caller's leaf, whose numbers began with the task, so that what is told of a run is how they have changed.
import { dirname } from 'node:path'
import { readControl, readKey } from './files.js'
import { openMemoryWindow, type MemoryWindow } from './memory-window.js'
import type { Placement } from './placement-types.js'
import { ioV2, readUsage, type IoBytes, type Usage } from './usage.js'

/** The runs that are being counted, for those that share a leaf. One for the whole daemon. */
export interface Counters {
  /** At the gate, before any process is in the run's directories. */
  begin(placement: Placement): void
  /** What it has used, to be asked before the directories are removed. Without a beginning: what its own directories know. */
  end(placement: Placement): Usage
}

interface LeafWindow {
  readonly leaf: string
  readonly io: IoBytes | undefined
  readonly oomKills: number | undefined
  readonly memory: MemoryWindow
  isShared: boolean
}

export function createCounters(): Counters {
  const windows = new Map<string, LeafWindow>()
  return {
    begin: (placement) => {
      const own = ownV2(placement)
      if (own === undefined) return
      const leaf = dirname(own)
      const others = [...windows.values()].filter((window) => window.leaf === leaf)
      const window = {
        leaf,
        ...readLeaf(leaf),
        memory: openMemoryWindow(leaf, own),
        isShared: false,
      }
      windows.set(own, window)
      if (others.length > 0) [window, ...others].forEach(share)
    },
    end: (placement) => {
      const usage = readUsage(placement)
      const own = ownV2(placement) ?? ''
      const window = windows.get(own)
      if (window === undefined) return usage
      windows.delete(own)
      try {
        return { ...usage, ...sinceThen(window) }
      } finally {
        window.memory.close()
      }
    },
  }
}

function share(window: LeafWindow): void {
  window.isShared = true
  window.memory.share()
}

/** Of runs side by side nobody can say whose the bytes were, nor, of a kill, whom it hit. */
function sinceThen({ leaf, io, oomKills, memory, isShared }: LeafWindow): Partial<Usage> {
  const now = readLeaf(leaf)
  const kills = minus(now.oomKills, oomKills)
  const isUnclear = isShared && kills !== 0
  return {
    memoryPeakBytes: memory.peakBytes(),
    ioReadBytes: isShared ? undefined : minus(now.io?.readBytes, io?.readBytes),
    ioWriteBytes: isShared ? undefined : minus(now.io?.writeBytes, io?.writeBytes),
    oomKills: isUnclear ? undefined : kills,
    ...(isUnclear && kills !== undefined && { oomKillsOfSomebody: kills }),
  }
}

const readLeaf = (leaf: string) => ({
  io: ioV2(readControl(leaf, 'io.stat')),
  oomKills: readKey(leaf, 'memory.events.local', 'oom_kill'), // Linux 5.2
})

const minus = (now: number | undefined, before: number | undefined): number | undefined =>
  now === undefined || before === undefined ? undefined : now - before

const ownV2 = ({ version, directories }: Placement): string | undefined =>
  version === 2 ? directories.find(({ own }) => own)?.path : undefined
