// Which registries the engine itself calls insecure, by its own rule: a registry that its configuration names is what
// that says; any other is insecure if one of its addresses lies in a range that is (by default the loopback's).
import { lookup } from 'node:dns/promises'
import { BlockList, isIP } from 'node:net'

/** Of GET /info, RegistryConfig. */
export interface RegistryRules {
  /** IndexConfigs: host, or host:port, and whether it is Secure. */
  readonly isSecure: Readonly<Record<string, boolean>>
  /** InsecureRegistryCIDRs, like "127.0.0.0/8". */
  readonly insecureRanges: readonly string[]
}

type Lookup = (name: string) => Promise<readonly string[]>

/** Reports whether the engine speaks http to this host, or TLS with anybody. A name without an address is secure. */
export async function isInsecureRegistry(
  host: string,
  rules: RegistryRules,
  addressesOf: Lookup = lookUp,
): Promise<boolean> {
  const named = Object.hasOwn(rules.isSecure, host) ? rules.isSecure[host] : undefined
  if (named !== undefined) return !named
  const name = host.replace(/:[0-9]+$/, '').replace(/^\[(.*)\]$/, '$1')
  const addresses = isIP(name) === 0 ? await addressesOf(name).catch(() => []) : [name]
  const ranges = blockList(rules.insecureRanges)
  return addresses.some((address) => ranges.check(address, familyOf(address)))
}

const lookUp: Lookup = async (name) =>
  (await lookup(name, { all: true })).map(({ address }) => address)

const familyOf = (address: string) => (isIP(address) === 6 ? 'ipv6' : 'ipv4')

function blockList(ranges: readonly string[]): BlockList {
  const list = new BlockList()
  for (const range of ranges) {
    const [, network = '', bits = ''] = /^([0-9a-fA-F.:]+)\/([0-9]{1,3})$/.exec(range) ?? []
    if (isIP(network) === 0 || Number(bits) > (isIP(network) === 6 ? 128 : 32)) continue
    list.addSubnet(network, Number(bits), familyOf(network))
  }
  return list
}
