// How fast one user is served: a bucket of tokens a uid, refilled at a steady rate. Who finds his own empty is held back,
// first come first served, and keeps nobody else waiting. Nothing is refused here; how many may be held is callers.ts's.
import type { Clock } from '../base/clock.js'

export interface TokenBuckets {
  /** Calls `begin` now, or when a token of this user's is there. Returns what calls it off. */
  enter(uid: number, begin: () => void): () => void
}

export interface TokenBucketOptions {
  readonly perSecond: number
  readonly burst: number
  readonly clock: Clock
  /** A user is held back who was not. */
  readonly onSlowed: (uid: number) => void
}

/** Full buckets nobody waits at are dropped once there are more: a user may own thousands of uids (subuid(5)). */
const KEPT_BUCKETS = 1024

export function createTokenBuckets(options: TokenBucketOptions): TokenBuckets {
  const buckets = new Map<number, Bucket>()

  const forgetFull = () => {
    for (const [uid, bucket] of buckets) if (bucket.isIdle()) buckets.delete(uid)
  }
  const bucketOf = (uid: number): Bucket => {
    const known = buckets.get(uid)
    if (known !== undefined) return known
    if (buckets.size >= KEPT_BUCKETS) forgetFull()
    const bucket = createBucket(options, () => options.onSlowed(uid))
    buckets.set(uid, bucket)
    return bucket
  }
  return { enter: (uid, begin) => bucketOf(uid).enter(begin) }
}

interface Bucket {
  enter(begin: () => void): () => void
  /** Reports whether it is as good as new. */
  isIdle(): boolean
}

function createBucket(options: TokenBucketOptions, onSlowed: () => void): Bucket {
  const { perSecond, burst, clock } = options
  /** In the order in which they came. */
  const waiting = new Set<() => void>()
  let tokens = burst
  let atMs = clock.monotonicMs()
  let timer: NodeJS.Timeout | undefined

  /** What grows while somebody waits is his, however late and however seldom the timer comes. */
  const refill = () => {
    const nowMs = clock.monotonicMs()
    const grown = tokens + ((nowMs - atMs) * perSecond) / 1000
    tokens = waiting.size > 0 ? grown : Math.min(burst, grown)
    atMs = nowMs
  }
  const serve = () => {
    timer = undefined
    refill()
    for (const begin of waiting) {
      if (tokens < 1) break
      tokens--
      waiting.delete(begin)
      begin()
    }
    if (waiting.size > 0) waitForToken()
  }
  const waitForToken = () => {
    timer ??= setTimeout(serve, Math.ceil(((1 - tokens) * 1000) / perSecond)).unref()
  }

  return {
    enter: (begin) => {
      refill()
      if (waiting.size === 0 && tokens >= 1) {
        tokens--
        begin()
        return () => undefined
      }
      const turn = () => begin() // a function of its own: two may wait with the same
      waiting.add(turn)
      if (waiting.size === 1) onSlowed()
      waitForToken()
      return () => void waiting.delete(turn)
    },
    isIdle: () => {
      refill()
      return waiting.size === 0 && tokens >= burst
    },
  }
}
