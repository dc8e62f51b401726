// What a run has used, and what its user does so that its record says less, or nothing.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { hepwrapRun, recordNamed } from '../slurm/job-runs.js'
import { holdRun } from '../slurm/held-run.js'
import { eventually } from '../world/eventually.js'
import { expectNothingLeft } from '../world/runs.js'
import { cgroupRoot, cgroupsNamed } from '../world/traces.js'
import { as, expectSuccess } from '../world/world.js'
import { attack } from './attack.js'
import { expectBobServed, shared, watchDaemon } from './watched-daemon.js'

const watched = watchDaemon({ node: { stop_timeout_s: 1 } })
const MIB = 1024 ** 2

attack(
  'A13',
  'own',
  'no file of the run’s own cgroups can be written by its user, within or without',
  async () => {
    const held = await holdRun('alice', ['srun', ...shared], ['--name', 'counted'], {
      command: ['sh', '-c', 'dd if=/dev/zero of=/dev/null bs=40M count=1; cat'],
    })
    const { id } = await recordNamed('counted', /RUNNING/)
    const directories = cgroupsNamed(new RegExp(`^hepwrap-${id}$`))
    expect(directories.length).toBeGreaterThan(2)
    const files = directories.flatMap((path) => readdirSync(path).map((name) => join(path, name)))
    const joins = /\/(cgroup\.procs|tasks)$/ // into which he may move what is his (docs/decisions/0005)
    const writable = (paths: string[]) =>
      `for path in ${paths.join(' ')}; do [ -w $path ] && echo $path; done; true`
    const outside = await as('alice').srun([
      ...shared,
      'bash',
      '-c',
      writable(files.filter((path) => !joins.test(path))),
    ])
    expect(outside.stdout).toBe('')
    const inside = await hepwrapRun(
      'alice',
      ['busybox:test', 'sh', '-c', `find ${cgroupRoot} -type f -writable 2>/dev/null; true`],
      { slurm: shared.slice(1) },
    )
    expect(inside.stdout).toBe('')
    await held.release()
    expect((await recordNamed('counted', /COMPLETED/)).memory_peak_bytes).toBeGreaterThan(40 * MIB)
  },
)

attack(
  'A14',
  'own',
  'a payload that its user moves to a cgroup of his own stays in the job, and ends with its run',
  async () => {
    const { id } = await as('alice').sbatch(
      `hepwrap run --name moved busybox:test sh -c 'echo running; sleep 601' >moved.out &
     until grep -q running moved.out; do sleep 0.05; done
     own=$(sed -n 's/.*:memory://p' /proc/self/cgroup)
     mkdir /sys/fs/cgroup/memory$own/mine 2>/dev/null
     for pid in $(pgrep -u $USER -f '^sleep 601$'); do
       for root in / /sys/fs/cgroup/memory/ /sys/fs/cgroup/pids/ /sys/fs/cgroup/cpuset/ /sys/fs/cgroup/freezer/ /sys/fs/cgroup/devices/; do
         [ -e $root/cgroup.procs ] && echo $pid >$root/cgroup.procs && echo "escaped to $root"
       done
       echo $pid >/sys/fs/cgroup/memory$own/mine/cgroup.procs && echo moved
     done
     touch moved.done; sleep 600`,
      ['-p', 'shared'],
    )
    const job = new RegExp(`/job_${id}/`)
    await eventually(() => readdirSync('/home/alice').includes('moved.done'))
    const [pid] = expectSuccess(
      await as('root').run(['pgrep', '-f', '^sleep 601$', '-u', 'alice']),
    ).stdout.split('\n')
    const cgroup = readFileSync(`/proc/${pid!}/cgroup`, 'utf8')
    expect(/:memory:(.*)/.exec(cgroup)?.[1]).toMatch(job)
    expect(/:freezer:(.*)/.exec(cgroup)?.[1]).toMatch(job)
    await as('alice').scancel(id)
    const record = await recordNamed('moved', /CANCELLED/)
    expect(record).toMatchObject({ job_id: Number(id), uid: 2001 })
    expect(readFileSync(`/home/alice/job-${id}.out`, 'utf8')).not.toContain('escaped')
    await eventually(
      async () => (await as('root').run(['pgrep', '-f', '^sleep 601$'])).status === 1,
    )
    await expectNothingLeft()
  },
  90_000,
)

attack(
  'A15',
  'own',
  'clocks that a user turns, within and without, move no time of a record',
  async () => {
    const began = Date.now()
    const program =
      'date -s 2001-01-01; date -u 010100002001; hwclock -w; adjtimex -f 1; echo "$(date +%Y)"'
    const env = {
      TZ: 'Pacific/Kiritimati',
      FAKETIME: '-20y',
      LD_PRELOAD: '/usr/lib/faketime.so',
      SOURCE_DATE_EPOCH: '0',
    }
    const { stdout } = await hepwrapRun(
      'alice',
      ['--name', 'clock', '-e', 'TZ=America/Adak', 'busybox:test', 'sh', '-c', program],
      { slurm: shared.slice(1), env },
    )
    await as('alice').srun([
      ...shared,
      'bash',
      '-c',
      'date -s 2001-01-01; timedatectl set-time 2001-01-01',
    ])
    expect(stdout).toContain(String(new Date(began).getFullYear()))
    const { created_at: created, started_at: started, ended_at: ended } = await recordNamed('clock')
    const times = [created, started!, ended!].map((time) => Date.parse(time))
    expect(times).toEqual([...times].sort((a, b) => a - b))
    expect(times[0]).toBeGreaterThanOrEqual(began)
    expect(times[2]).toBeLessThanOrEqual(Date.now())
  },
)

attack(
  'A16',
  'own',
  'clients killed around the end of their runs leave one closed record each',
  async () => {
    const script = `
    for n in $(seq 24); do
      hepwrap run --name "race-$n" busybox:test true & pid=$!
      (sleep 0.$((n * 37 % 60 + 10)); kill -$([ $((n % 3)) = 0 ] && echo TERM || echo KILL) $pid) 2>/dev/null &
      [ $((n % 4)) = 0 ] && wait
    done; wait`
    await as('alice').srun([...shared, 'bash', '-c', script], { timeoutMs: 60_000 })
    const races = () => watched.rows().filter(({ name }) => String(name).startsWith('race-'))
    await eventually(() => races().every(({ state }) => state !== 'RUNNING'))
    const rows = races()
    expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length)
    expect(rows.length).toBeGreaterThan(5)
    for (const row of rows) {
      expect(row['ended_at'], JSON.stringify(row)).not.toBeNull()
      expect(['COMPLETED', 'CANCELLED', 'FAILED', 'REFUSED']).toContain(row['state'])
      if (row['state'] === 'REFUSED')
        expect([row['reason'], row['started_at']]).toEqual(['HW_CALLER_UNKNOWN', null])
      if (row['state'] === 'COMPLETED')
        expect([row['exit_code'], row['started_at'] !== null]).toEqual([0, true])
    }
    await expectNothingLeft()
    await expectBobServed()
  },
  120_000,
)
