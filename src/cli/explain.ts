// `hepwrap explain [CODE]`: what a reason code means and what to do. Asks no daemon.
import { HepwrapError, isReasonCode, quote, REASONS, type ReasonCode } from '../base/errors.js'
import { printHelp } from './help.js'
import { nearest } from './options.js'
import { print } from './print.js'
import { parseVerbLine } from './verb-line.js'

export async function explain(args: readonly string[]): Promise<number> {
  const line = await parseVerbLine(args, undefined, [])
  if (line.help) return printHelp('explain')
  const codes = Object.keys(REASONS).filter(isReasonCode)
  const wanted =
    line.operands.length === 0 ? codes : line.operands.map((word) => findCode(word, codes))
  await print(wanted.map(describe).join('\n'))
  return 0
}

/** As printed in a message, or written by hand: "hw_usage", "(HW_USAGE)", "outside_job". */
function findCode(word: string, codes: readonly ReasonCode[]): ReasonCode {
  const bare = word.toUpperCase().replace(/^\(|\)$/g, '')
  const code = bare.startsWith('HW_') ? bare : `HW_${bare}`
  if (isReasonCode(code)) return code
  const near = nearest(code, codes)
  const hint = near === undefined ? 'hepwrap explain lists all' : `did you mean ${near}?`
  throw new HepwrapError('HW_USAGE', `there is no reason code ${quote(word)}; ${hint}`)
}

function describe(code: ReasonCode): string {
  const { exit, meaning, mend } = REASONS[code]
  return `${code} (exit status ${exit})\n  Meaning: ${meaning}.\n  To do:   ${mend}.\n`
}
