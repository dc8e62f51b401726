// `hepwrap stop ID...` and `hepwrap kill [-s SIG] ID...`: goes on after a failure, and says so at the end.
import { asHepwrapError, HepwrapError, quote } from '../base/errors.js'
import type { KillRequest, StopRequest } from '../wire/job-api.js'
import { askDaemon } from './daemon-api.js'
import { printHelp } from './help.js'
import { invalid, parseStopTimeout } from './option-values.js'
import { print } from './print.js'
import { say } from './say.js'
import { parseVerbLine, type VerbLine } from './verb-line.js'

export async function stop(args: readonly string[], config: string | undefined): Promise<number> {
  const line = await parseVerbLine(args, config, [{ name: 'time', short: 't', takesValue: true }])
  if (line.help) return printHelp('stop')
  const time = line.value('time')
  const body: StopRequest =
    time === undefined ? {} : { timeout_s: parseStopTimeout('--time', time) }
  return tellEach('stop', line, body)
}

export async function kill(args: readonly string[], config: string | undefined): Promise<number> {
  const line = await parseVerbLine(args, config, [{ name: 'signal', short: 's', takesValue: true }])
  if (line.help) return printHelp('kill')
  const signal = line.value('signal')
  const body: KillRequest = signal === undefined ? {} : { signal: parseSignal(signal) }
  return tellEach('kill', line, body)
}

/** "TERM", "SIGTERM", "term" or "15"; which signals there are is for the daemon to say. */
function parseSignal(value: string): string {
  if (/^\d{1,2}$/.test(value)) return value
  const name = value.toUpperCase()
  if (/^[A-Z][A-Z0-9+-]{1,11}$/.test(name)) return name.startsWith('SIG') ? name : `SIG${name}`
  throw invalid('--signal', value, 'not the name or number of a signal')
}

async function tellEach(verb: string, line: VerbLine, body: object): Promise<number> {
  if (line.operands.length === 0) {
    throw new HepwrapError('HW_USAGE', `the container is missing: hepwrap ${verb} ID...`)
  }
  let status = 0
  for (const id of line.operands) {
    try {
      // Neither an id nor a --name: never let it become part of a path.
      if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/.test(id)) {
        throw new HepwrapError('HW_NOT_FOUND', `there is no container ${quote(id)}`)
      }
      await askDaemon(line.socketPath, 'POST', `/v1/containers/${id}/${verb}`, body)
      await print(`${id}\n`)
    } catch (error) {
      const { code, message } = asHepwrapError(error)
      say(message, code)
      status = 1
    }
  }
  return status
}
