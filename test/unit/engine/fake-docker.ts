// A Docker Engine API of the test's own on a unix socket, for what no real engine does on demand.
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { createDockerEngine } from '../../../src/engine/docker-engine.js'
import type { Engine } from '../../../src/engine/engine.js'

export type Reply = (request: IncomingMessage, response: ServerResponse) => void

/** An engine that answers as `reply` says. */
export async function engineThat(reply: Reply): Promise<Engine> {
  const directory = mkdtempSync(join(tmpdir(), 'hepwrap-engine-'))
  const socketPath = join(directory, 'docker.sock')
  const server = createServer(reply)
  await new Promise<void>((resolve) => server.listen(socketPath, resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
    rmSync(directory, { recursive: true })
  })
  return createDockerEngine({ socketPath, node: 'hepp/n1', runDir: directory })
}

export const json = (response: ServerResponse, value: unknown, status = 200): void => {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(value))
}
