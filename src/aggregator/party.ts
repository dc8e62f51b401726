// What the sender of a request may do: whose records he sees, and which node he may write for.
import { asHepwrapError, HepwrapError, quote } from '../base/errors.js'
import { within } from '../base/within.js'
import type { StoreScope } from '../store/store.js'
import type { Sender } from '../trust/verify.js'
import type { NodeAddresses } from './node-address.js'

export interface Party {
  /** For the log: "uid 2001 (alice)", "node hepp/n1". */
  readonly label: string
  /** Undefined: a node's token. */
  readonly uid: number | undefined
  readonly user: string | null
  readonly isOperator: boolean
  /** Throws HW_NODE_MISMATCH, unless this is that node; of undefined, unless it is any. */
  mayWriteFor(node: NodeName | undefined): Promise<void>
}

export interface NodeName {
  readonly cluster: string
  readonly node: string
}

export interface PartyOptions {
  readonly operators: readonly string[]
  /** Empty: of all. */
  readonly clusters: readonly string[]
  /** Undefined: root of any host may write for any node. */
  readonly addresses: NodeAddresses | undefined
  /** The name of a uid on this host; undefined: it has none. */
  readonly nameOf: (uid: number) => Promise<string | undefined>
}

const NAME_WAIT_MS = 3000

export function createParties({ operators, clusters, addresses, nameOf }: PartyOptions) {
  const nameFor = async (uid: number): Promise<string | null> => {
    if (uid === 0) return 'root'
    const late = () => new Error('no answer')
    try {
      return (await within(NAME_WAIT_MS, nameOf(uid), late)) ?? null
    } catch (cause) {
      throw new HepwrapError(
        'HW_AGGREGATOR_BUSY',
        `cannot tell who uid ${uid} is: ${asHepwrapError(cause).message}`,
        { cause },
      )
    }
  }

  return async (sender: Sender): Promise<Party> => {
    switch (sender.by) {
      case 'node-token':
        return nodeParty(sender)
      case 'token':
        return personParty(sender.uid, sender.user, sender.operator, undefined)
      case 'munge': {
        const user = await nameFor(sender.uid)
        const isOperator = user !== null && operators.includes(user)
        const writer = { origin: sender.origin, addresses, clusters }
        return personParty(sender.uid, user, isOperator, sender.uid === 0 ? writer : undefined)
      }
    }
  }
}

/** Whose records he sees: his own, or everybody's. Throws HW_NOT_OPERATOR for a node's token. */
export function scopeOf({ uid, isOperator, label }: Party): StoreScope {
  if (isOperator) return { uid: undefined }
  if (uid === undefined)
    throw new HepwrapError('HW_NOT_OPERATOR', `${label} has a token to write with, not to read`)
  return { uid }
}

interface Writer {
  readonly origin: string
  readonly addresses: NodeAddresses | undefined
  readonly clusters: readonly string[]
}

function personParty(
  uid: number,
  user: string | null,
  isOperator: boolean,
  writer: Writer | undefined,
): Party {
  const label = user === null ? `uid ${uid}` : `uid ${uid} (${user})`
  return {
    label: writer === undefined ? label : `${label} at ${writer.origin}`,
    uid,
    user,
    isOperator,
    mayWriteFor: async (place) => {
      if (writer === undefined)
        throw new HepwrapError('HW_NODE_MISMATCH', `${label} is a person; records come from nodes`)
      if (place === undefined) return
      if (writer.clusters.length > 0 && !writer.clusters.includes(place.cluster))
        throw new HepwrapError(
          'HW_NODE_MISMATCH',
          `cluster ${quote(place.cluster)} is none of [auth] clusters`,
        )
      await writer.addresses?.check(place.node, writer.origin)
    },
  }
}

function nodeParty(own: NodeName): Party {
  const label = `node ${own.cluster}/${own.node}`
  return {
    label,
    uid: undefined,
    user: null,
    isOperator: false,
    mayWriteFor: async (place = own) => {
      const { cluster, node } = place
      if (cluster === own.cluster && node === own.node) return
      throw new HepwrapError(
        'HW_NODE_MISMATCH',
        `the token is of ${quote(`${own.cluster}/${own.node}`)}, the request of ${quote(`${cluster}/${node}`)}`,
      )
    },
  }
}
