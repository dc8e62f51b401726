// hepwrapd.toml from the disk to a checked, frozen DaemonConfig. Whatever is doubtful is refused, with file, line and key.
import { hostname } from 'node:os'
import { quote } from '../base/errors.js'
import { checkedToml, deepFreeze, type Fault } from './checked-toml.js'
import { ROOT_ONLY, readGuardedFile, type Guard } from './guarded-file.js'
import { layerFaults, policyLayers } from './policy-layers.js'
import { DaemonConfigSchema, type DaemonConfig, type DaemonSections } from './schema.js'

export const DEFAULT_CONFIG_PATH = '/etc/hepwrap/hepwrapd.toml'

/** Reads and checks the file; throws HW_CONFIG_INVALID with one line a fault: "FILE:LINE: section.key: what is wrong (value)". */
export function loadDaemonConfig(
  path = DEFAULT_CONFIG_PATH,
  guard: Guard = ROOT_ONLY,
): DaemonConfig {
  return parseDaemonConfig(readGuardedFile(path, guard), path)
}

/** The pure part; `file` is for messages. */
export function parseDaemonConfig(text: string, file: string, host = hostname()): DaemonConfig {
  const { values, lines, refuse } = checkedToml(DaemonConfigSchema, text, file)
  const { images, mounts, policy, rule, ...sections } = values
  const tables = { images, mounts, ...(policy && { policy }), ...(rule && { rule }) }
  refuse([...crossFaults(sections), ...layerFaults(tables)])
  if (sections.node.name === '') sections.node.name = host.split('.')[0] ?? host
  return deepFreeze({ ...sections, layers: policyLayers(tables, { file, lines }) })
}

/** Rules between keys, checked once every key is sound by itself. */
function* crossFaults(sections: DaemonSections): Generator<Fault> {
  const { accounting, node, engine, metrics } = sections
  const port = Number(metrics.listen.split(':').at(-1))
  if (metrics.listen !== '' && (port < 1 || port > 65_535))
    yield {
      path: ['metrics', 'listen'],
      text: `must end in a port from 1 to 65535 (${quote(metrics.listen)})`,
    }
  if (accounting.aggregator !== '' && accounting.auth === 'token' && accounting.token_file === '')
    yield {
      path: ['accounting', 'token_file'],
      text: 'must name a file, because accounting.auth is "token" ("")',
    }
  if (node.socket === engine.socket)
    yield {
      path: ['node', 'socket'],
      text: `must not be the engine's own socket (${quote(node.socket)})`,
    }
}
