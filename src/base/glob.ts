// `*` for any characters and `?` for one, in linear time per star: patterns and names meet in a root daemon.

/** Reports whether the whole text matches. */
export function matchesGlob(text: string, pattern: string): boolean {
  let at = 0
  let patternAt = 0
  // Where the last star stands and which text it has taken so far: the only place worth going back to.
  let star = -1
  let starAt = 0
  while (at < text.length) {
    const wanted = pattern[patternAt]
    if (wanted === '*') {
      star = patternAt++
      starAt = at
    } else if (wanted === '?' || wanted === text[at]) {
      patternAt++
      at++
    } else if (star >= 0) {
      patternAt = star + 1
      at = ++starAt
    } else return false
  }
  while (pattern[patternAt] === '*') patternAt++
  return patternAt === pattern.length
}
