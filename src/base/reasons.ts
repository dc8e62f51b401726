// The catalogue: every reason code with its HTTP status, the exit status of `run`, what it means and what to do.
// docs/reason-codes.md and `hepwrap explain` say the same words; a test holds the three together.
import { AGGREGATOR_REASONS } from './aggregator-reasons.js'
import { refused, type Reason } from './reason.js'
import { REPORT_REASONS } from './report-reasons.js'
import { RUN_REASONS } from './run-reasons.js'

export const REASONS = {
  // The command line and the request
  HW_USAGE: refused(
    400,
    'the command line or the request cannot be understood',
    'see hepwrap --help',
  ),
  HW_OPTION_UNKNOWN: refused(400, 'run has no such option', 'see hepwrap run --help'),
  HW_OPTION_FORBIDDEN: refused(
    403,
    'docker has this option; hepwrap never allows it, because it would give a container more than its user has',
    'leave the option out',
  ),
  HW_OPTION_INVALID: refused(
    400,
    'the value of an option is malformed or out of range',
    'correct the value',
  ),
  HW_REQUEST_INVALID: refused(
    400,
    'the request does not follow the protocol',
    'use a hepwrap client of the same version as the daemon',
  ),
  HW_REQUEST_TOO_LARGE: refused(
    413,
    'the request (arguments, environment, mounts) is larger than the daemon reads',
    'pass large input by a file or by stdin',
  ),
  HW_REQUEST_TIMEOUT: refused(
    408,
    'the client connected and did not finish its request in time',
    'try again',
  ),
  HW_ENV_TOO_LARGE: refused(
    413,
    'the environment is larger than a program can be given',
    'pass large input by a file',
  ),
  HW_NOT_FOUND: refused(
    404,
    'there is no such container, job or path, or it is not yours',
    'see hepwrap ps -a',
  ),

  // Who and where
  HW_CALLER_UNKNOWN: refused(
    403,
    'the kernel could not tell who calls: the process is gone or changed its identity',
    'run hepwrap directly from the job step',
  ),
  HW_CALLER_NAMESPACE: refused(
    403,
    'the caller lives in another mount or user namespace than the daemon',
    'run hepwrap outside of containers and unshare',
  ),
  HW_ROOT_ONLY: refused(403, 'only root may do this', 'run it as root'),
  HW_ROOT_REFUSED: refused(
    403,
    'root may administer hepwrap, not run containers by it',
    'run as the user of the job',
  ),
  HW_OUTSIDE_JOB: refused(
    403,
    'the caller is not inside a Slurm job',
    'start it by srun or from a batch script',
  ),
  HW_JOB_MISMATCH: refused(
    403,
    "the caller's cgroups do not agree about the job, name another user's job, or are no place of a task",
    'run hepwrap directly from the job step',
  ),
  HW_JOB_UNANNOUNCED: refused(
    403,
    'the prolog has not announced this job, and the site demands it or nothing else names the job (SLUID)',
    "tell the administrator: the prolog does not run, cannot reach hepwrapd or lacks Slurm's variables",
  ),
  HW_JOB_ENDED: refused(409, 'the job has been ended on this node', 'submit a new job'),

  // Policy
  HW_IMAGE_REFUSED: refused(
    403,
    'the site does not allow this image',
    'see hepwrap images for what is allowed',
  ),
  HW_IMAGE_UNSIGNED: refused(
    403,
    'the site demands a signature of this image, and it has none by a key that the site trusts',
    'see the message; ask whoever makes the image to sign it',
  ),
  HW_IMAGE_INVALID: refused(
    400,
    'this is not an image name',
    'write name, name:tag or name@sha256:…',
  ),
  HW_PULL_REFUSED: refused(403, 'the site does not allow this --pull', 'leave --pull out'),
  HW_MOUNT_REFUSED: refused(403, 'the site does not allow this mount', 'mount another path'),
  HW_MOUNT_READ_ONLY: refused(
    403,
    'the site lets this path be mounted read-only alone',
    'add :ro to the mount',
  ),
  HW_MOUNT_SOURCE: refused(
    400,
    'the source of a mount does not exist or you may not reach it',
    'correct the path',
  ),
  HW_MOUNT_TARGET: refused(
    400,
    'the target of a mount is not an absolute path, is used twice, or is reserved',
    'correct the path',
  ),
  HW_LIMIT_ABOVE_JOB: refused(
    403,
    'a limit asked for is above what the job has',
    'ask Slurm for more, or hepwrap for less',
  ),
  HW_LIMIT_ABOVE_SITE: refused(
    403,
    'a limit or a size asked for is above what the site allows',
    'ask for less',
  ),
  HW_NETWORK_REFUSED: refused(
    403,
    'the site does not allow this --network',
    'leave --network out, or name another',
  ),
  HW_ENV_REFUSED: refused(
    403,
    'the site does not allow this variable to be set',
    'leave it out of -e and --env-file',
  ),
  HW_DEVICE: refused(
    403,
    'a device asked for does not exist, is none, or is not of this job',
    'correct the path, or ask Slurm for it (--gres)',
  ),
  HW_TOO_MANY_RUNS: refused(
    429,
    'you or your job have as many containers or connections here as one may',
    'wait for some to end',
  ),

  // Images
  HW_IMAGE_NOT_FOUND: refused(
    404,
    'the image is not on this node and the registry has none of that name',
    'check name and tag',
  ),
  HW_IMAGE_ABSENT: refused(
    404,
    'the image is not on this node and may not be pulled',
    'ask the administrator to load it, or use --pull missing',
  ),
  HW_IMAGE_PLATFORM: refused(
    400,
    'the image is for another operating system or processor',
    "use an image for this node's platform",
  ),
  HW_REGISTRY_DOWN: refused(502, 'the registry does not answer', 'try again later'),
  HW_REGISTRY_AUTH: refused(
    502,
    'the registry wants credentials or denies access',
    'ask the administrator',
  ),
  HW_PULL_FAILED: refused(
    502,
    'the image could not be pulled',
    "see the message; the engine's log on the node has more",
  ),

  ...RUN_REASONS,
  ...AGGREGATOR_REASONS,
  ...REPORT_REASONS,
} as const satisfies Record<string, Reason>

export type ReasonCode = keyof typeof REASONS

/** Reports whether `text` is a reason code of this version. */
export const isReasonCode = (text: string): text is ReasonCode => Object.hasOwn(REASONS, text)
