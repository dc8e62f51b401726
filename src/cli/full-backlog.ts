// Many tasks at once, or one hostile user, fill the socket's backlog for moments: connect(2) says EAGAIN, and is tried again.

const MAX_ATTEMPTS = 500
const RETRY_MS = 20

/** Throws what the attempt throws, and EAGAIN only after some seconds of it. */
export async function retryFullBacklog<T>(attempt: () => Promise<T>): Promise<T> {
  for (let count = 1; ; count++) {
    try {
      return await attempt()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || count === MAX_ATTEMPTS) throw error
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
    }
  }
}
