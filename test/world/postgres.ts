// Databases on the world's PostgreSQL, which is started where it does not run.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'

/** A new empty database of `nobody` (uid 65534), who is let in over the socket as who he is; its URL. */
export const freshDatabase = async (): Promise<string> =>
  Promise.resolve(`postgres:///${createDatabase('nobody')}?host=/run/postgresql&user=nobody`)

/** A new empty database of hepwrap, who is let in on 127.0.0.1 by a password; its URL. */
export const passwordDatabase = (): string =>
  `postgres://hepwrap:secret@127.0.0.1:5432/${createDatabase('hepwrap')}`

function createDatabase(owner: string): string {
  postgres('start')
  const name = `db${randomBytes(6).toString('hex')}`
  const create = `CREATE DATABASE ${name} OWNER ${owner} TEMPLATE template0`
  execFileSync('runuser', ['-u', 'postgres', '--', 'psql', '-qc', create], { cwd: '/' })
  return name
}

/** "start" where it runs already is nothing. */
export const postgres = (verb: 'start' | 'stop' | 'kill'): void =>
  void execFileSync('test/world/service', [verb, 'postgres'])
