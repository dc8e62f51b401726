// The address, Config and NetworkingConfig of the engine's create request.
import { left, leftAll, ofImage, set } from './request-field.js'

const PORTS = 'a note of the image; no port is published'
const NO_NETWORK = 'no network is joined but the one of NetworkMode'

export const ADDRESS_FIELDS = [
  set('?name', 'ours: "hepwrap-" and the run id'),
  left('?platform', 'the image is named by its id, after its platform was judged'),
]

export const CONFIG_FIELDS = [
  left('Hostname', "the node's name with its network, else the container's id", {
    reports: [/./],
  }),
  left('Domainname', 'empty'),
  set('User', 'uid and gid of the caller, as the kernel told them on the socket'),
  set('AttachStdin', '-i'),
  set('AttachStdout', 'always true'),
  set('AttachStderr', 'always true'),
  ofImage('ExposedPorts{}', PORTS),
  set('Tty', '-t'),
  set('OpenStdin', '-i'),
  set('StdinOnce', '-i'),
  set(
    'Env',
    'the plan: what passes of the caller’s, and -e; the engine adds what only the image has',
  ),
  set('Cmd', 'the command behind our init: COMMAND, or of the image that was judged'),
  left('ArgsEscaped', 'Windows only'),
  set('Image', 'the id of the image that was judged, never its name'),
  ofImage('Volumes{}', "an anonymous volume each, in the engine's data root, removed with the run"),
  set('WorkingDir', 'always "/"; our init changes directory as the user'),
  set('Entrypoint', 'our init, in a directory of a random name'),
  left('NetworkDisabled', 'NetworkMode says it'),
  left('MacAddress', NO_NETWORK, { until: 51 }),
  left('OnBuild', 'for builders; nothing is built'),
  set('Labels{}', '--label, then ours over it; the engine adds what only the image has'),
  set('StopSignal', 'always SIGTERM; the engine is never asked to stop, only to remove by force'),
  left('StopTimeout', 'the engine is never asked to stop'),
  left('Shell', 'for builders; nothing is built'),
  set('Healthcheck.Test', 'always NONE: it would be an exec by the engine, outside of the job'),
  ...['Interval', 'Timeout', 'Retries', 'StartPeriod'].map((name) =>
    ofImage(`Healthcheck.${name}`, 'of a check that is switched off'),
  ),
  ofImage('Healthcheck.StartInterval', 'of a check that is switched off', { since: 44 }),
]

const ENDPOINT = 'NetworkingConfig.EndpointsConfig{}.'
const ADDRESSES = ['IPv4Address', 'IPv6Address', 'LinkLocalIPs']
const ENDPOINT_NAMES = [
  ...['Links', 'Aliases', 'NetworkID', 'EndpointID', 'Gateway', 'IPAddress', 'IPPrefixLen'],
  ...['IPv6Gateway', 'GlobalIPv6Address', 'GlobalIPv6PrefixLen', 'MacAddress', 'DriverOpts'],
]

export const NETWORKING_FIELDS = [
  left('NetworkingConfig.EndpointsConfig{}', NO_NETWORK),
  ...leftAll(`${ENDPOINT}IPAMConfig.`, ADDRESSES, NO_NETWORK),
  ...leftAll(ENDPOINT, ENDPOINT_NAMES, NO_NETWORK),
  left(`${ENDPOINT}DNSNames`, NO_NETWORK, { since: 44 }),
  left(`${ENDPOINT}GwPriority`, NO_NETWORK, { since: 48 }),
]
