// `hepwrap page`: a link by which a browser is signed in at the aggregator as whoever asks for it, once.
import { HepwrapError } from '../base/errors.js'
import { AGGREGATOR_OPTIONS, needAggregator } from './aggregator.js'
import { printHelp } from './help.js'
import { print } from './print.js'
import { oneLine } from './say.js'
import { parseVerbLine, refuseOperands } from './verb-line.js'

export async function page(args: readonly string[], config: string | undefined): Promise<number> {
  const line = await parseVerbLine(args, config, AGGREGATOR_OPTIONS)
  if (line.help) return printHelp('page')
  refuseOperands('page', line)
  const aggregator = await needAggregator(line)
  const { url } = await aggregator.ask<{ url?: unknown }>('POST', '/v1/sessions')
  if (typeof url !== 'string')
    throw new HepwrapError('HW_AGGREGATOR_REPLY', 'the aggregator gave no link')
  // The aggregator may know itself by a path alone.
  await print(`${oneLine(new URL(url, aggregator.url).href)}\n`)
  return 0
}
