// Options of `docker run` that hepwrap does not carry out. They are read as docker reads them and sent on as
// forbidden, so that the daemon refuses by name and keeps a record.
import type { OptionSpec } from './options.js'

// As of docker 28, hidden ones included; "short:name" where docker has a short form.
const SWITCHES = `
  d:detach disable-content-trust no-healthcheck oom-kill-disable privileged P:publish-all q:quiet sig-proxy
  use-api-socket`

const WITH_VALUE = `
  add-host annotation a:attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns cidfile
  cpu-count cpu-percent cpu-period cpu-quota cpu-rt-period cpu-rt-runtime c:cpu-shares cpuset-cpus cpuset-mems
  detach-keys device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops
  dns dns-opt dns-option dns-search domainname expose gpus group-add health-cmd health-interval health-retries
  health-start-interval health-start-period health-timeout h:hostname io-maxbandwidth io-maxiops ip ip6 ipc
  isolation kernel-memory label-file link link-local-ip log-driver log-opt mac-address memory-reservation
  memory-swap memory-swappiness net-alias network-alias oom-score-adj pid pids-limit platform p:publish restart
  runtime security-opt stop-signal storage-opt sysctl u:user userns uts volume-driver volumes-from`

const parseSpecs = (text: string, takesValue: boolean): OptionSpec[] =>
  text
    .trim()
    .split(/\s+/)
    .map((word) => {
      const [name = '', short] = word.split(':').reverse()
      return { name, takesValue, unwanted: true, ...(short !== undefined && { short }) }
    })

export const DOCKER_OPTIONS: readonly OptionSpec[] = [
  ...parseSpecs(SWITCHES, false),
  ...parseSpecs(WITH_VALUE, true),
]
