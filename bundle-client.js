// Part of `npm run build`: the client as CommonJS in two files, hepwrap.cjs for `run` and hepwrap-verbs.cjs for the
// other verbs. Node needs some 15 ms longer to load the same as ES modules one by one, and every task of a wide srun
// would pay them. Each module becomes a function that runs when it is first asked for.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const root = dirname(fileURLToPath(import.meta.url))

/** Modules are named by their path in src: "cli/run". */
function bundle(output) {
  const first = reach(['cli/main'], ({ imports }) => imports)
  const hot = reach([...first, 'cli/run'], ({ name, imports, later }) =>
    name === 'cli/main' ? imports : [...imports, ...later],
  )
  const all = reach(['cli/main'], ({ imports, later }) => [...imports, ...later])
  const cold = all.filter((name) => !hot.includes(name))
  mkdirSync(output, { recursive: true })
  writeFileSync(join(output, 'hepwrap.cjs'), HEAD + define(hot) + TAIL, { mode: 0o755 })
  writeFileSync(join(output, 'hepwrap-verbs.cjs'), `'use strict'\n${define(cold)}${EXPORT}`)
}

function reach(names, next) {
  const reached = new Set(names)
  for (const name of reached) for (const other of next(readModule(name))) reached.add(other)
  return [...reached]
}

const modules = new Map()

/** `imports` are needed at once, `later` are import() expressions. */
function readModule(name) {
  const known = modules.get(name)
  if (known !== undefined) return known
  const source = readFileSync(join(root, 'src', `${name}.ts`), 'utf8')
  const script = transpile(source, ts.ModuleKind.ESNext)
  const find = (pattern) =>
    [...script.matchAll(pattern)].map(([, path]) => join(dirname(name), path))
  const module = { name, script, imports: find(IMPORT), later: find(LATER) }
  modules.set(name, module)
  return module
}

// As TypeScript prints them: an import is one line.
const IMPORT = /^(?:import|export) .*from '(\.[^']+)\.js';$/gm
const LATER = /\bimport\('(\.[^']+)\.js'\)/g
const REQUIRE = /\brequire\("(\.[^"]+)\.js"\)/g

const transpile = (source, module) =>
  ts.transpileModule(source, {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module, removeComments: true },
  }).outputText

const define = (names) =>
  `const modules = {}\n${names
    .map((name) => `modules['${name}'] = (exports, loadModule, moduleUrl) => {\n${body(name)}}\n`)
    .join('')}`

/** As CommonJS, with names of modules in place of paths. */
function body(name) {
  const resolve = (path) => `'${join(dirname(name), path)}'`
  const script = readModule(name)
    .script.replace(LATER, (_, path) => `Promise.resolve(${resolve(path)}).then(loadModule)`)
    .replaceAll('import.meta.url', 'moduleUrl')
  return transpile(script, ts.ModuleKind.CommonJS).replace(
    REQUIRE,
    (_, path) => `loadModule(${resolve(path)})`,
  )
}

const HEAD = `#!/usr/bin/env node
'use strict'
`

const TAIL = `const loaded = {}
const moduleUrl = 'file://' + encodeURI(__filename)
function loadModule(name) {
  if (loaded[name] !== undefined) return loaded[name]
  if (modules[name] === undefined) Object.assign(modules, require('./hepwrap-verbs.cjs').modules)
  const exports = (loaded[name] = {})
  modules[name](exports, loadModule, moduleUrl)
  return exports
}
loadModule('cli/main').main(process.argv.slice(2)).then(process.exit)
`

const EXPORT = `exports.modules = modules
`

bundle(process.argv[2] ?? join(root, 'dist/bin'))
