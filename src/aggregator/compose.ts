// The composition root: everything that the routes need, made once.
import { atMost } from '../base/at-most.js'
import { systemClock, type Clock } from '../base/clock.js'
import { keptFor } from '../base/kept-for.js'
import { createLogger, type Logger } from '../base/log.js'
import { onceInAWhile } from '../base/once-in-a-while.js'
import { within } from '../base/within.js'
import type { AggregatorConfig } from '../config/aggregator-schema.js'
import { lookupUser } from '../kernel/accounts.js'
import type { Store } from '../store/store.js'
import type { TokenList } from '../trust/token-list.js'
import { mungeVerifier, tokenVerifier, type Sender, type Verifier } from '../trust/verify.js'
import { MAX_BATCH_BYTES } from '../wire/ingest-api.js'
import {
  createArrivalBudget,
  createOpenBudget,
  type ArrivalBudget,
  type OpenBudget,
} from './byte-budget.js'
import { createGroupCommit, type GroupCommit } from './group-commit.js'
import { createMetrics, type Metrics } from './metrics.js'
import { createNodeAddresses } from './node-address.js'
import { readPage, type Page } from './page.js'
import { createParties, type Party } from './party.js'
import { createReaders, type Readers } from './readers.js'
import { createRefusalNotes } from './refusals.js'
import { createSessions, type Sessions } from './sessions.js'
import { watchStore } from './watched-store.js'

export interface Aggregator {
  readonly config: AggregatorConfig
  readonly clock: Clock
  readonly log: Logger
  readonly store: Store
  readonly verifier: Verifier
  /** Of `WWW-Authenticate`. */
  readonly scheme: string
  readonly partyOf: (sender: Sender) => Promise<Party>
  readonly sessions: Sessions
  readonly metrics: Metrics
  readonly arriving: ArrivalBudget
  readonly open: OpenBudget
  readonly commits: GroupCommit
  readonly readers: Readers
  readonly page: Page
  readonly isWell: () => Promise<boolean>
  readonly noteRefusal: ReturnType<typeof createRefusalNotes>
  /** Reports whether this has not been spoken of for an hour. */
  readonly isTimeFor: (what: string) => boolean
}

const MEBIBYTE = 1024 * 1024
/** Of what may arrive at once, one sender may have this part. */
const SENDERS_SHARE = 4
const QUESTIONS_AT_ONCE = 16
const SAID_EVERY_MS = 3_600_000
const PROBE_KEPT_MS = 2000
const PROBE_WAIT_MS = 5000
const LEDGERS_KEPT_MS = 10_000

export interface Parts {
  readonly config: AggregatorConfig
  readonly openStore: () => Promise<Store>
  /** Of auth.method = "token". */
  readonly tokens: () => TokenList
}

export async function compose({ config, openStore, tokens }: Parts): Promise<Aggregator> {
  const clock = systemClock
  const log = createLogger(config.server.log_level, 'hepwrap-aggregator')
  const opened = await openStore()
  const capacity = config.server.max_in_flight_mb * MEBIBYTE
  const share = Math.max(MAX_BATCH_BYTES, capacity / SENDERS_SHARE)
  const arriving = createArrivalBudget(capacity, share)
  const open = createOpenBudget(capacity)
  const metrics = createMetrics({
    storeKind: config.store.url.startsWith('sqlite:') ? 'sqlite' : 'postgres',
    clock,
    bytesInFlight: () => arriving.inUse() + open.inUse(),
    ledgers: keptFor(clock, LEDGERS_KEPT_MS, () => opened.ledgers()),
  })
  const store = watchStore(opened, log, {
    onError: () => metrics.storeErrors.inc(),
    onUp: (isUp) => metrics.storeUp.set(isUp ? 1 : 0),
  })
  const { method, operators, clusters, node_address } = config.auth
  // A directory of users that hangs holds one of Node's threads, and leaves the others to unpack batches.
  const oneByOne = atMost(1)
  return {
    config,
    clock,
    log,
    store,
    verifier: method === 'munge' ? mungeVerifier({ clock }) : tokenVerifier(tokens),
    scheme: method === 'munge' ? 'MUNGE' : 'Bearer',
    partyOf: createParties({
      operators,
      clusters,
      addresses: node_address === 'any' ? undefined : createNodeAddresses({ clock }),
      nameOf: (uid) => oneByOne(async () => (await lookupUser(uid))?.name),
    }),
    sessions: createSessions(clock),
    metrics,
    arriving,
    open,
    commits: createGroupCommit(store, (batches) => metrics.commitBatches.observe(batches)),
    readers: createReaders(QUESTIONS_AT_ONCE),
    page: readPage(),
    // Kept: anybody may ask, and each answer is a write to the disk.
    isWell: keptFor(clock, PROBE_KEPT_MS, () => probe(store)),
    noteRefusal: createRefusalNotes(clock, log, metrics),
    isTimeFor: onceInAWhile(clock, SAID_EVERY_MS),
  }
}

const probe = async (store: Store): Promise<boolean> => {
  try {
    await within(PROBE_WAIT_MS, store.probe(), () => new Error('no answer'))
    return true
  } catch {
    return false
  }
}
