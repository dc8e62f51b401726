// A wait with an end: what is asked of somebody else may never be answered.

/** `work`, unless it takes longer than `waitMs`; then what `late` makes is thrown, and `work` goes on alone. */
export async function within<T>(waitMs: number, work: Promise<T>, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const silence = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(late()), waitMs)
  })
  try {
    return await Promise.race([work, silence])
  } finally {
    clearTimeout(timer)
  }
}
