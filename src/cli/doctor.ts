// `hepwrap doctor [--json]`: is this node fit? A daemon that does not answer is the first finding.
import { asHepwrapError, printableJson } from '../base/errors.js'
import type { DoctorCheck } from '../wire/job-api.js'
import { askDaemon } from './daemon-api.js'
import { printHelp } from './help.js'
import { print } from './print.js'
import { oneLine } from './say.js'
import { parseVerbLine, refuseOperands } from './verb-line.js'

export async function doctor(args: readonly string[], config: string | undefined): Promise<number> {
  const line = await parseVerbLine(args, config, [{ name: 'json', takesValue: false }])
  if (line.help) return printHelp('doctor')
  refuseOperands('doctor', line)
  const checks = await readChecks(line.socketPath)
  if (line.has('json')) await print(`${printableJson(checks, 2)}\n`)
  else await print(checks.map(describe).join(''))
  return checks.every(({ ok }) => ok) ? 0 : 1
}

async function readChecks(socketPath: string): Promise<DoctorCheck[]> {
  try {
    return await askDaemon<DoctorCheck[]>(socketPath, 'GET', '/v1/doctor')
  } catch (error) {
    const { code, message } = asHepwrapError(error)
    if (code !== 'HW_DAEMON_DOWN' && code !== 'HW_DAEMON_LOST') throw error
    const mend =
      'start it (systemctl start hepwrapd) and read its log (journalctl -u hepwrapd); see that HEPWRAP_SOCKET is right'
    return [{ name: 'daemon', ok: false, detail: message, mend }]
  }
}

function describe({ name, ok, detail, mend }: DoctorCheck): string {
  const head = `${ok ? 'ok  ' : 'FAIL'} ${oneLine(name).padEnd(18)} ${oneLine(detail)}\n`
  return ok || mend === null ? head : `${head}     ${''.padEnd(18)} mend: ${oneLine(mend)}\n`
}
