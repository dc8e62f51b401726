// The store on PostgreSQL.
import type { Directory } from '../rollup.js'
import type { Store } from '../store.js'
import { openConnections, type Connections } from './connections.js'
import { expire } from './expiry.js'
import { ingest } from './ingest.js'
import { migrate } from './migrations.js'
import { createQuestions } from './questions.js'

/** Beyond this the entities that are remembered are let go: image names are the users' to choose. */
const MAX_REMEMBERED = 200_000

export async function openPostgresStore(url: string): Promise<Store> {
  const connections = openConnections(url)
  try {
    await connections.write(migrate)
    return createPostgresStore(connections)
  } catch (thrown) {
    await connections.close()
    throw thrown
  }
}

function createPostgresStore({ description, read, write, close }: Connections): Store {
  const directory: Directory = new Map()
  return {
    description,
    ingest: async (batches) => {
      if (batches.length === 0) return []
      if (directory.size > MAX_REMEMBERED) directory.clear()
      const { outcomes, numbers } = await write(async (client) =>
        ingest(client, batches, directory),
      )
      for (const [entity, number] of numbers) entity.id = number
      return outcomes
    },
    putFacts: async ({ cluster, node, ...facts }) =>
      write(async (client) => {
        await client.query(
          `INSERT INTO facts VALUES ($1, $2, $3, $4)
            ON CONFLICT (cluster, node, since_ms) DO UPDATE SET facts = excluded.facts`,
          [cluster, node, Date.parse(facts.since), JSON.stringify(facts)],
        )
      }),
    expire: async (beforeMs, limit) => write(async (client) => expire(client, beforeMs, limit)),
    probe: async () =>
      write(async (client) => {
        await client.query(
          `INSERT INTO marks VALUES ('probe', gen_random_uuid())
            ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
        )
      }),
    ...createQuestions(read),
    close,
  }
}
