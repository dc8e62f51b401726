// The texts of --help and --version.
import { VERSION } from '../base/version.js'
import { print } from './print.js'

const OVERVIEW = `Usage: hepwrap [--config FILE] COMMAND [OPTIONS]

Docker images under Slurm: as you, inside your job, with an exact record of each container.

  run        run an image here and now
  images     what you may run on this node
  ps         your containers on this node
  stop       end containers: SIGTERM, a grace, SIGKILL
  kill       send containers a signal
  acct       accounting records
  report     what users, accounts, images used: runs, cpu hours, memory, io, efficiency
  reconcile  containers beside Slurm's own accounting (sacct)
  export     usage for other systems: APEL (EGI), CSV, NDJSON
  page       a link to the aggregator's page, for a browser
  doctor     is this node fit? (root)
  policy     what the site allows a user, and why (root)
  explain    what a reason code means and what to do
  configure  announce the job in SLURM_* (prolog, root)
  clean      end the job in SLURM_* (epilog, root)

hepwrap COMMAND --help tells more. --version names the version.
The daemon is found by --config FILE (a hepwrapd.toml), HEPWRAP_SOCKET, or at /run/hepwrap/hepwrapd.sock.
`

const VERBS: Readonly<Record<string, string>> = {
  run: `Usage: hepwrap run [OPTIONS] IMAGE [COMMAND [ARG...]]

Runs an image inside the present Slurm job, as you. Home and working directory are mounted at their own paths.

  -v, --volume SRC:DST[:ro]   mount a path of the host
      --mount type=bind,source=SRC,target=DST[,readonly]
      --mount type=tmpfs,target=DST[,tmpfs-size=SIZE][,tmpfs-mode=MODE]
      --tmpfs DST[:size=SIZE,mode=MODE]
  -e, --env NAME[=VALUE]      set a variable, or pass it on
      --env-file FILE         variables from a file, one NAME[=VALUE] a line
      --host-env              pass the whole environment on, but PATH and LD_*
  -w, --workdir DIR           working directory in the container
  -i, --interactive           give the container our standard input
  -t, --tty                   give the container a terminal
      --entrypoint COMMAND    instead of the image's; "" for none
      --name NAME             shown by ps and acct
  -l, --label KEY[=VALUE]     kept in the record
      --network host|none     default: host, where the site allows it
      --device /dev/NAME      where the site allows it and the job has it
      --shm-size SIZE         size of /dev/shm
      --read-only             the image's file system cannot be written
      --ulimit NAME=SOFT[:HARD]
      --stop-timeout SECONDS  between SIGTERM and SIGKILL
      --pull missing|never|always
  -m, --memory SIZE           less than the job's memory
      --cpus NUMBER           less than the job's processors
      --dry-run               judge it, and say what would be asked of the engine; start nothing
      --no-home               do not mount the home directory
      --no-cwd                do not mount the working directory
  -V, --verbose               say what is done and how long it takes
      --config FILE           a hepwrapd.toml that names the daemon's socket
      --rm, --init            as always

All other options of docker run are refused by name.
Exit status: the command's own; 128+n if signal n ended it; 127 command not found; 126 it cannot be executed;
125 hepwrap refused or failed, with a line on standard error: see hepwrap explain CODE.
`,
  images: `Usage: hepwrap images [--json]

Lists the images on this node that you may run, with size and digest.
`,
  ps: `Usage: hepwrap ps [-a] [--json]

Lists your running containers on this node; of all users for root.

  -a, --all   also those that have ended
`,
  stop: `Usage: hepwrap stop [-t SECONDS] ID...

Sends SIGTERM, and SIGKILL after a grace. ID: at least 4 characters of it, or the container's --name. Prints each that
is done; exit status 1 if one could not be stopped.

  -t, --time SECONDS   the grace
`,
  kill: `Usage: hepwrap kill [-s SIGNAL] ID...

Sends a signal, SIGKILL by default. ID: at least 4 characters of it, or the container's --name.

  -s, --signal SIGNAL   like TERM, SIGTERM or 15
`,
  acct: `Usage: hepwrap acct [OPTIONS]

Prints accounting records, oldest first: your own; of all users for operators (at the node: root). From the aggregator where
one is configured, else from this node's ledger. The words are sacct's.

  -j, --job JOB[,JOB...]
  -u, --user USER[,...]    also --uid; names may be globs: * and ?
  -A, --account ACCOUNT[,...]
  -N, --node NODE[,...]    also --nodelist
  -M, --cluster CLUSTER[,...]
  -r, --partition PARTITION[,...]
      --image GLOB[,...]   like 'registry.example/atlas/*'
  -s, --state STATE[,...]  RUNNING COMPLETED FAILED CANCELLED TIMEOUT OUT_OF_MEMORY NODE_FAIL REFUSED
  -S, --since TIME         also --starttime: 2026-01-31, 2026-01-31T12:00[:05], RFC 3339, now, now-7days, today
  -E, --until TIME         also --endtime
  -a, --allusers           everybody's, or a refusal: what operators get anyway

  -o, --format FIELD[%WIDTH][,...]   --helpformat lists them; "%-WIDTH" for text to the left
      --format table|json|csv|parsable   all fields of the record, but for table
  -P, --parsable2          "|" between fields, nothing cut
      --json, --csv
  -n, --noheader
  -e, --helpformat         the fields that --format takes

      --local              this node's ledger
      --aggregator URL     in place of HEPWRAP_AGGREGATOR and [accounting] of the hepwrapd.toml
      --token-file FILE    a token in place of MUNGE; HEPWRAP_TOKEN_FILE
      --ca-file FILE       who vouches for the aggregator's certificate; HEPWRAP_CA_FILE
`,
  report: `Usage: hepwrap report [users|accounts|images|nodes|clusters|states|total] [OPTIONS]

Sums over containers that have ended: your own; everybody's for operators. Several with commas: users,images. A run counts in
the hour (UTC) in which it ended, so --since and --until are rounded down to the hour.

      --by hour|day|week|month   also by periods (UTC)
      --top N                    the N with the most of --sort, within each period
      --sort cpu|runs|failed|alloc|memory|io|wall   default with --top: cpu
  -u, -A, -N, -M, -s, -S, -E, --image       as of hepwrap acct
  -o, --format, -P, --json, --csv, -n, -e   as of hepwrap acct; json and csv have exact sums
      --aggregator, --token-file, --ca-file as of hepwrap acct

Columns: runs, failed (also TIMEOUT, OUT_OF_MEMORY, NODE_FAIL), refused by policy; CPU hours used; hours from start to end;
GiB of peak memory x hours; bytes read and written; efficiency = CPU time used / CPUs x elapsed time.
`,
  reconcile: `Usage: hepwrap reconcile --since TIME [--until TIME] [OPTIONS]

Compares the containers of each job step with what "sacct --json" says of that step: an operator those of all users, others
their own. Exit status: 0 all agree, 1 something does not, 125 it could not be found out.

  -S, --since TIME, -E, --until TIME   as of hepwrap acct; until: now
      --tolerance PERCENT  5% by default; up to 2 s of CPU time a task are rounding of Slurm's
  -M, --cluster CLUSTER    that of sacct's answer by default
      --sacct FILE|-       the output of "sacct --json --duplicates --allusers …" in place of running it
  -o, --format, -P, --csv, --json, -n, -e   as of hepwrap acct
      --aggregator, --token-file, --ca-file as of hepwrap acct

Findings, the worst first:
  other-user         records name another user than the job has in Slurm
  other-account      … another account
  unknown-job        Slurm knows no such job
  unknown-step       Slurm knows the job, but no such step
  open-record        the record was never closed, and its step has ended
  missing-record     a step that ran hepwrap (srun hepwrap run) has fewer records than tasks
  cpu-above-step     containers used more CPU time than Slurm counted for their step
  memory-above-step  a container held more memory than its step was given
`,
  export: `Usage: hepwrap export --format apel --since TIME --site NAME [OPTIONS]
       hepwrap export --format csv|ndjson --since TIME [--by KEY,...] [OPTIONS]

apel: one job record of the EGI accounting (individual job message, v0.3) for the containers of each job that ended in
since <= end < until. Wall time is the time in which at least one of them ran; ServiceLevel the HEPscore23 of one core:
that of the node by its number of threads, as it was at the time.
csv, ndjson: sums as of hepwrap report, exact.

  -S, --since TIME, -E, --until TIME   as of hepwrap acct
  -u, -A, -N, -M, -s, --image          as of hepwrap acct
      --site NAME              the site's name in the GOCDB
      --submit-host NAME       like ce.example:9619/ce.example-slurm
      --vo none|account|group  what stands for the VO; none by default
      --infrastructure grid|local   grid where there is a VO
      --default-hepscore V     HEPscore23 of one core, for nodes of which none is known; without it they are refused by name
      --outgoing DIR           messages of 1,000 records into the directory of ssmsend, in place of one on standard output
      --by KEY,...             of cluster, user, account, image, node, state and one of hour, day, week, month;
                               day,cluster,user,account by default
      --aggregator, --token-file, --ca-file   as of hepwrap acct
`,
  page: `Usage: hepwrap page [--aggregator URL] [--token-file FILE] [--ca-file FILE]

Prints a link to the aggregator's page that signs a browser in as you. It is good once, and for a short time.
`,
  doctor: `Usage: hepwrap doctor [--json]

Checks that this node is fit to run containers, and says what to do where it is not. Exit status 1 then. Root only.
`,
  policy: `Usage: hepwrap policy check --as USER [--account A] [--partition P] [--json] run [OPTIONS] IMAGE [COMMAND...]
       hepwrap policy show --as USER [--account A] [--partition P] [--json]

check says whether this run of this user's would be allowed, what decides each point (file, line, rule), and what the engine
would be asked for; exit status 1 where it is refused. show prints what holds for the user. Nothing is started. Root only.
`,
  explain: `Usage: hepwrap explain [CODE...]

Says what a reason code means and what to do; all codes without an argument.
`,
  configure: `Usage: hepwrap configure

For the prolog: announces the job in SLURM_JOB_ID and its companions to hepwrapd. Root only.
`,
  clean: `Usage: hepwrap clean

For the epilog: ends the job in SLURM_JOB_ID on this node: its containers, records and traces. Where a container is
still alive prints "alive ID..." and ends with 1. Root only.
`,
}

export async function printHelp(verb?: string): Promise<number> {
  await print((verb === undefined ? undefined : VERBS[verb]) ?? OVERVIEW)
  return 0
}

export async function printVersion(): Promise<number> {
  await print(`hepwrap ${VERSION}\n`)
  return 0
}
