// Words that users chose, as they are shown: one line, and nothing in them that turns or hides what stands beside.

/** Control characters, and those that change the direction of writing or cannot be seen, become a replacement character. */
export const plainText = (text: string): string => text.replace(/[\p{Cc}\p{Cf}]/gu, '\uFFFD')

/** Of an image's long name the end says the most: "…atlas/analysisbase:25.2.3". */
export const tailOf = (name: string, most: number): string =>
  plainText(name.length <= most ? name : `…${name.slice(1 - most)}`)
