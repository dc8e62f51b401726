// Answers of the everyday verbs on stdout. Waits for a slow reader; a reader that has gone ends the program quietly.

const EXIT_SIGPIPE = 128 + 13

export async function print(text: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    process.stdout.write(text, (error) => {
      if (error === null || error === undefined) resolve()
      else if ((error as NodeJS.ErrnoException).code === 'EPIPE') process.exit(EXIT_SIGPIPE)
      else reject(error)
    })
  })
}

process.stdout.on('error', () => undefined) // the write's own callback tells
