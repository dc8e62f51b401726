// The part of the catalogue that is about comparing with Slurm and exporting. See reasons.ts.
import { refused, type Reason } from './reason.js'

export const REPORT_REASONS = {
  HW_SACCT_FAILED: refused(
    502,
    'sacct cannot be run, failed, or wrote what is not its JSON',
    'run it by hand: sacct --json; give its output by --sacct FILE, or - for standard input',
  ),
  HW_HEPSCORE_UNKNOWN: refused(
    409,
    'the HEPscore23 value of a node is not known, so what its jobs used cannot be normalised',
    'set it in the hepwrapd.toml of the node, or give --default-hepscore',
  ),
} as const satisfies Record<string, Reason>
