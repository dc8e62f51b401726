// Runs commands from inside a job step and says how long each took: the JSON of Wanted in argv[2], of number[][] out.
import { spawn } from 'node:child_process'

/** Each command is an argv; all of one turn are started at once, and turn by turn. */
export interface Wanted {
  turns: { name: string; argv: string[]; copies: number }[]
  env: Record<string, string>
}

export interface Turn {
  name: string
  /** from the start of the first to the end of the last */
  ms: number
}

async function main({ turns, env }: Wanted): Promise<void> {
  const results: Turn[] = []
  for (const { name, argv, copies } of turns) {
    const began = performance.now()
    const statuses = await Promise.all(Array.from({ length: copies }, () => run(argv, env)))
    results.push({ name, ms: performance.now() - began })
    const bad = statuses.find((status) => status !== 0)
    if (bad !== undefined) throw new Error(`${argv.join(' ')}: status ${String(bad)}`)
  }
  console.log(JSON.stringify(results))
}

function run(argv: string[], env: Record<string, string>): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(argv[0]!, argv.slice(1), {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    child.on('error', reject)
    child.on('close', resolve)
  })
}

await main(JSON.parse(process.argv[2]!) as Wanted)
