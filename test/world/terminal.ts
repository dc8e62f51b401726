// A user at a terminal: the command runs on a real pseudo-terminal, whose size can change.
import { readFileSync } from 'node:fs'
import { eventually } from './eventually.js'
import { as, type CommandOptions, expectSuccess, type Running, type User } from './world.js'

export interface OnTerminal extends Running {
  /** what the user types; '\x03' is Ctrl-C */
  type: (keys: string) => void
  resize: (rows: number, columns: number) => Promise<void>
}

/** Starts at 24 x 80. Everything that the terminal shows is in stdout, with CR LF at line ends. */
export async function startOnTerminal(
  user: User,
  argv: string[],
  options: CommandOptions = {},
): Promise<OnTerminal> {
  const note = `/tmp/terminal-${process.pid}-${count++}`
  const command = `tty >${note}; stty rows 24 cols 80; exec ${argv.map(quote).join(' ')}`
  const run = as(user).start(['script', '-qefc', command, '/dev/null'], options)
  const terminal = await eventually(() => readFileSync(note, 'utf8').trim() || undefined)
  return {
    ...run,
    type: (keys) => void run.child.stdin?.write(keys),
    resize: async (rows, columns) => {
      const size = ['rows', String(rows), 'cols', String(columns)]
      expectSuccess(await as('root').run(['stty', '-F', terminal, ...size]))
    },
  }
}
let count = 0

function quote(argument: string): string {
  return `'${argument.replaceAll("'", `'\\''`)}'`
}
