// The verbs of `hepwrap`: each is a file of its own, loaded only when it is asked for.
import { asHepwrapError, HepwrapError, quote, REASONS } from '../base/errors.js'
import { nearest } from './options.js'
import { say } from './say.js'

/** Resolves with the exit status. `config`: a hepwrapd.toml given before the verb. */
type Verb = (args: readonly string[], config: string | undefined) => Promise<number>

const VERBS: Readonly<Record<string, () => Promise<Verb>>> = {
  run: async () => (await import('./run.js')).run,
  images: async () => (await import('./images.js')).images,
  ps: async () => (await import('./ps.js')).ps,
  stop: async () => (await import('./stop.js')).stop,
  kill: async () => (await import('./stop.js')).kill,
  acct: async () => (await import('./acct.js')).acct,
  report: async () => (await import('./report.js')).report,
  reconcile: async () => (await import('./reconcile.js')).reconcile,
  export: async () => (await import('./export.js')).exportUsage,
  page: async () => (await import('./page.js')).page,
  doctor: async () => (await import('./doctor.js')).doctor,
  policy: async () => (await import('./policy.js')).policy,
  explain: async () => (await import('./explain.js')).explain,
  configure: async () => (await import('./job.js')).configure,
  clean: async () => (await import('./job.js')).clean,
}

export async function main(argv: readonly string[]): Promise<number> {
  const { word, config, args } = splitLine(argv)
  const fail = (thrown: unknown): number => {
    const { code, message } = asHepwrapError(thrown)
    say(message, code)
    return word === 'run' || word === 'reconcile' ? REASONS[code].exit : 1
  }
  process.once('uncaughtException', (error) => process.exit(fail(error)))
  try {
    if (word === '--help' || word === '--version') {
      const { printHelp, printVersion } = await import('./help.js')
      return await (word === '--help' ? printHelp() : printVersion())
    }
    const load = Object.hasOwn(VERBS, word ?? '') ? VERBS[word ?? ''] : undefined
    if (load === undefined) throw unknownVerb(word)
    const verb = await load()
    return await verb(args, config)
  } catch (error) {
    return fail(error)
  }
}

interface Line {
  readonly word: string | undefined
  readonly config: string | undefined
  readonly args: readonly string[]
}

/** Like "--config FILE ps -a": only --config may stand before the verb. */
function splitLine(argv: readonly string[]): Line {
  const [first, second, ...others] = argv
  if (first === '--config') return { ...splitLine(others), config: second }
  if (first?.startsWith('--config=') === true) {
    return { ...splitLine(argv.slice(1)), config: first.slice('--config='.length) }
  }
  return { word: first, config: undefined, args: argv.slice(1) }
}

function unknownVerb(word: string | undefined): HepwrapError {
  if (word === undefined) return new HepwrapError('HW_USAGE', 'what to do? See hepwrap --help')
  const near = nearest(word, Object.keys(VERBS))
  const hint = near === undefined ? 'see hepwrap --help' : `did you mean "${near}"?`
  return new HepwrapError('HW_USAGE', `unknown command ${quote(word)}; ${hint}`)
}
