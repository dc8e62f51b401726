// The part of the catalogue that is about runs: the command, the node, and why a run ended. See reasons.ts.
import { refused, type Reason } from './reason.js'

export const RUN_REASONS = {
  // The command
  HW_COMMAND_MISSING: refused(
    400,
    'the image names no command and none was given',
    'give a command',
  ),
  HW_COMMAND_NOT_FOUND: {
    http: 200,
    exit: 127,
    meaning: 'the image has no such command',
    mend: "check the command, the image's PATH and the mounts",
  },
  HW_COMMAND_NOT_EXECUTABLE: {
    http: 200,
    exit: 126,
    meaning: 'the command exists in the image but cannot be executed',
    mend: 'check its mode, its interpreter and its architecture',
  },
  HW_WORKDIR: {
    http: 200,
    exit: 126,
    meaning: 'the working directory cannot be entered in the container',
    mend: 'mount it, or name another with --workdir',
  },

  // The node
  HW_ENGINE_DOWN: refused(
    503,
    'the container engine does not answer',
    'try again; tell the administrator (hepwrap doctor)',
  ),
  HW_ENGINE_FAILED: refused(
    502,
    'the container engine refused or failed',
    'see the message; tell the administrator',
  ),
  HW_START_TIMEOUT: refused(
    504,
    'the container did not start in time',
    'try again; tell the administrator (hepwrap doctor)',
  ),
  HW_CGROUP_FAILED: refused(
    500,
    "the run's cgroup could not be made or entered",
    'tell the administrator (hepwrap doctor)',
  ),
  HW_MOUNT_FAILED: refused(500, 'a mount could not be prepared', 'tell the administrator'),
  HW_LEDGER_UNAVAILABLE: refused(
    503,
    'the accounting ledger cannot be written, and nothing runs unrecorded',
    'tell the administrator: disk full?',
  ),
  HW_DAEMON_DOWN: refused(503, 'hepwrapd does not answer on this node', 'tell the administrator'),
  HW_DAEMON_LOST: refused(
    503,
    'hepwrapd went away during the run; the container has been ended',
    'submit again; tell the administrator',
  ),
  HW_OUTPUT_FAILED: refused(
    500,
    "the client could not write the container's output to where its stdout or stderr goes",
    'free space where the output goes, or send it elsewhere',
  ),
  HW_DAEMON_STOPPING: refused(503, 'hepwrapd is being stopped on this node', 'try again'),
  HW_CONFIG_INVALID: refused(
    500,
    'a configuration file is malformed or unsafe',
    'correct the file, key and line in the message',
  ),
  HW_INTERNAL: refused(
    500,
    'a fault of hepwrap itself',
    "tell the administrator; the node's log names the run",
  ),

  // Why a run ended
  HW_CLIENT_GONE: refused(
    200,
    'the client or its step ended before the container, which was ended too',
    'nothing, if the job was cancelled',
  ),
  HW_JOB_CLEANED: refused(
    200,
    'the job ended on this node (epilog) and its containers with it',
    'nothing',
  ),
  HW_DAEMON_RESTARTED: refused(
    200,
    'hepwrapd was restarted or the node lost power during the run',
    'submit again',
  ),
  HW_OOM_KILLED: refused(
    200,
    "the kernel ended a process of the container at the job's memory limit",
    'ask Slurm for more memory (--mem)',
  ),
  HW_STOPPED: refused(200, 'the container was ended by hepwrap stop or kill', 'nothing'),
  HW_SIGNALED: refused(200, 'the command was ended by a signal', 'nothing, if it was meant'),
  HW_TIME_LIMIT: refused(200, 'the job reached its time limit', 'ask Slurm for more time (--time)'),
} as const satisfies Record<string, Reason>
