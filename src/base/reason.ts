// What the catalogue says of a reason code.

export const EXIT_REFUSED = 125

export interface Reason {
  /** HTTP status of a reply that carries this code. */
  readonly http: number
  /** Exit status of `hepwrap run`; see CONTRACT "Exit status of run". */
  readonly exit: number
  readonly meaning: string
  readonly mend: string
}

export const refused = (http: number, meaning: string, mend: string): Reason => ({
  http,
  exit: EXIT_REFUSED,
  meaning,
  mend,
})
