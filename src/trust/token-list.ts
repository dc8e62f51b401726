// The aggregator's token file: who has which token, by digest, so that the file gives no token away.
//   node      hepp/n1     SHA256HEX      writes the records of node n1 of cluster hepp
//   user      alice:2001  SHA256HEX      reads the records of uid 2001
//   operator  adm:1000    SHA256HEX      reads everybody's
import { HepwrapError, quote } from '../base/errors.js'
import { sha256Hex } from './request-line.js'

export type TokenHolder =
  | { readonly role: 'node'; readonly cluster: string; readonly node: string }
  | { readonly role: 'user' | 'operator'; readonly user: string; readonly uid: number }

export interface TokenList {
  /** By the token itself; undefined: nobody's. */
  holderOf(token: string): TokenHolder | undefined
}

const NODE = /^([A-Za-z0-9][A-Za-z0-9._-]{0,63})\/([A-Za-z0-9][A-Za-z0-9._-]{0,63})$/
const PERSON = /^([^\s:/]{1,64}):([0-9]{1,10})$/
const MAX_UID = 0xfffffffe

/** `file` is for messages. Throws HW_CONFIG_INVALID with one line a fault. */
export function parseTokenList(text: string, file: string): TokenList {
  const holders = new Map<string, TokenHolder>()
  const faults: string[] = []
  for (const [index, line] of text.split('\n').entries()) {
    const words = line.replace(/#.*/, '').trim().split(/\s+/)
    if (words[0] === '') continue
    const fault = addHolder(words, holders)
    if (fault !== undefined) faults.push(`${file}:${index + 1}: ${fault}`)
  }
  if (faults.length > 0) throw new HepwrapError('HW_CONFIG_INVALID', faults.join('\n'))
  // Looked up by digest: how long it takes tells nothing about a token.
  return { holderOf: (token) => holders.get(sha256Hex(token)) }
}

/** What is wrong with the line; the digest itself is not quoted. */
function addHolder(
  [role = '', name = '', digest = '', more]: readonly string[],
  holders: Map<string, TokenHolder>,
): string | undefined {
  if (more !== undefined || digest === '') return 'must be ROLE NAME SHA256HEX'
  const holder = holderFrom(role, name)
  if (typeof holder === 'string') return holder
  if (!/^[0-9a-f]{64}$/.test(digest))
    return `the digest of ${quote(name)} must be 64 lower-case hex digits: printf %s TOKEN | sha256sum`
  if (holders.has(digest)) return `${quote(name)} has the same token as another line`
  holders.set(digest, holder)
  return undefined
}

function holderFrom(role: string, name: string): TokenHolder | string {
  if (role === 'node') {
    const [, cluster, node] = NODE.exec(name) ?? []
    if (cluster === undefined || node === undefined)
      return `a node is named CLUSTER/NODE (${quote(name)})`
    return { role, cluster, node }
  }
  if (role !== 'user' && role !== 'operator')
    return `the role must be node, user or operator (${quote(role)})`
  const [, user, uid = ''] = PERSON.exec(name) ?? []
  if (user === undefined || Number(uid) > MAX_UID)
    return `a person is named USER:UID (${quote(name)})`
  return { role, user, uid: Number(uid) }
}
