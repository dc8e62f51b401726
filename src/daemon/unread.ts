// What a user's connections hold together of requests that are not complete yet: each may have megabytes, and a user has
// hundreds of connections. Above the limit the next piece is refused, so that nobody fills the daemon with halves.

export interface UnreadShare {
  /** Reports whether so many bytes more may be kept. */
  take(bytes: number): boolean
  /** The request is complete, or has been dropped. */
  giveBack(): void
}

/** `maxBytes` a user. Returns the share of one connection of `uid`. */
export function createUnreadLimit(maxBytes: number): (uid: number) => UnreadShare {
  const held = new Map<number, number>()

  return (uid) => {
    let own = 0
    return {
      take: (bytes) => {
        const total = (held.get(uid) ?? 0) + bytes
        if (total > maxBytes) return false
        held.set(uid, total)
        own += bytes
        return true
      },
      giveBack: () => {
        const rest = (held.get(uid) ?? 0) - own
        own = 0
        if (rest > 0) held.set(uid, rest)
        else held.delete(uid)
      },
    }
  }
}
