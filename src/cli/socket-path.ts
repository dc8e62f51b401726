// Where hepwrapd listens: --config, else HEPWRAP_SOCKET, else the usual place.
import { HepwrapError } from '../base/errors.js'

export const DEFAULT_SOCKET = '/run/hepwrap/hepwrapd.sock'

export async function findSocket(config: string | undefined): Promise<string> {
  if (config === undefined) {
    const named = process.env['HEPWRAP_SOCKET'] ?? ''
    return named === '' ? DEFAULT_SOCKET : named
  }
  const { readConfiguredSocket } = await import('./configured-socket.js')
  return readConfiguredSocket(config) ?? DEFAULT_SOCKET
}

export const daemonDown = (socketPath: string): HepwrapError =>
  new HepwrapError('HW_DAEMON_DOWN', `hepwrapd does not answer on this node: ${socketPath}`)
