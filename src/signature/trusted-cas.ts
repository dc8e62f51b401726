// Whose word is taken that a registry is the one: the system's CAs, and by docker's convention those that the site put
// into /etc/docker/certs.d/HOST[:PORT]/ for one registry.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls'

export const DOCKER_CERTS = '/etc/docker/certs.d'

/** Where the distributions keep the system's bundle. The engine reads the first that is there, and so do we. */
const SYSTEM_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
]
/** A host may come from a redirect; no other is a file name. */
const HOST = /^(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?$/

/** What a connection to this registry (a host, and its port where the image's name has one) is judged by. */
export type TrustedCas = (host: string) => SecureContext

/**
 * To read the system's CAs holds everybody up for some 15 ms, and who is redirected names the hosts: so that is done once,
 * as the engine does, for all hosts that the site says nothing of, and once for each of those that it has files of.
 */
export function openTrustedCas(certsDirectory: string = DOCKER_CERTS): TrustedCas {
  let shared: SecureContext | undefined
  const own = new Map<string, { readonly cas: Buffer; readonly context: SecureContext }>()
  return (host) => {
    const files = siteCas(host, certsDirectory)
    if (files.length === 0) return (shared ??= createSecureContext({ ca: [...systemCas()] }))
    const cas = Buffer.concat(files)
    const made = own.get(host)
    if (made?.cas.equals(cas) === true) return made.context
    const context = createSecureContext({ ca: [...systemCas(), ...files] })
    own.set(host, { cas, context })
    return context
  }
}

function systemCas(): readonly (string | Buffer)[] {
  for (const path of SYSTEM_BUNDLES) {
    const bundle = readIfPresent(path)
    if (bundle !== undefined) return [bundle]
  }
  return rootCertificates
}

function siteCas(host: string, certsDirectory: string): readonly Buffer[] {
  if (!HOST.test(host)) return []
  const directory = join(certsDirectory, host)
  return listIfPresent(directory)
    .filter((name) => name.endsWith('.crt'))
    .map((name) => readIfPresent(join(directory, name)))
    .filter((text) => text !== undefined)
}

function listIfPresent(directory: string): readonly string[] {
  try {
    return readdirSync(directory).sort()
  } catch {
    return []
  }
}

function readIfPresent(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch {
    return undefined
  }
}
