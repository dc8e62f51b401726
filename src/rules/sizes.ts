// Sizes as the configuration writes them: "512m", "4g".

const POWER: Readonly<Record<string, number>> = { b: 0, k: 1, m: 2, g: 3, t: 4 }

/** Bytes; undefined for "". The schema has refused everything else. */
export function parseSize(text: string): number | undefined {
  const [, digits, unit = 'b'] = /^([0-9]+)([bkmgt]?)$/.exec(text) ?? []
  if (digits === undefined) return undefined
  return Number(digits) * 1024 ** (POWER[unit] ?? 0)
}
