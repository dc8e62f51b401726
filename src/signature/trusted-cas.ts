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
export function trustedCas(host: string, certsDirectory: string = DOCKER_CERTS): SecureContext {
  return createSecureContext({ ca: [...systemCas(), ...siteCas(host, certsDirectory)] })
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
