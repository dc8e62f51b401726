// The public keys that the configuration names: read as the daemon starts, so that no run finds a bad one.
import type { PolicyKey } from '../config/policy-keys.js'
import type { DaemonConfig } from '../config/schema.js'
import type { PublicKeys } from '../run/run-deps.js'
import { readPublicKey } from '../signature/public-key.js'

const KEY = 'images.require_signature' satisfies PolicyKey

/** Throws HW_CONFIG_INVALID for a file that is absent, not root's alone, or no key. */
export function readPublicKeys({ layers }: Pick<DaemonConfig, 'layers'>): PublicKeys {
  const paths = layers.flatMap(({ settings }) => (settings.get(KEY)?.value ?? []) as string[])
  const named = new Set(paths.filter((path) => path !== '...'))
  return new Map([...named].map((path) => [path, readPublicKey(path)]))
}
