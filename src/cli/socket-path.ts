// Where hepwrapd listens: --config, else HEPWRAP_SOCKET, else the socket of this slurmd, else the usual one.
import { existsSync } from 'node:fs'
import { HepwrapError } from '../base/errors.js'

export const DEFAULT_SOCKET = '/run/hepwrap/hepwrapd.sock'

export async function findSocket(config: string | undefined): Promise<string> {
  if (config !== undefined) {
    const { readConfiguredSocket } = await import('./configured-socket.js')
    return readConfiguredSocket(config) ?? DEFAULT_SOCKET
  }
  const named = process.env['HEPWRAP_SOCKET'] ?? ''
  return named === '' ? (socketOfSlurmd(process.env['SLURMD_NODENAME']) ?? DEFAULT_SOCKET) : named
}

/** Of several slurmd on one host each may have a hepwrapd of its own. */
function socketOfSlurmd(node: string | undefined): string | undefined {
  if (node === undefined || !/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(node)) return undefined
  const path = `/run/hepwrap-${node}/hepwrapd.sock`
  return existsSync(path) ? path : undefined
}

export const daemonDown = (socketPath: string): HepwrapError =>
  new HepwrapError('HW_DAEMON_DOWN', `hepwrapd does not answer on this node: ${socketPath}`)
