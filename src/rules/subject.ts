// Whom the site's rules are asked about: the caller as the kernel and the account databases name him, and his job as the
// prolog announced it.

export interface Subject {
  readonly uid: number
  /** Undefined: no account database knows the uid. */
  readonly user: string | undefined
  readonly groups: readonly { readonly gid: number; readonly name: string | undefined }[]
  readonly cluster: string
  readonly node: string
  /** Undefined: not in a job. */
  readonly job:
    | {
        readonly title: string
        /** Undefined: the prolog has not said. */
        readonly account: string | undefined
        readonly partition: string | undefined
      }
    | undefined
}
