// The house rules that a machine can hold; each ban says why in its message.
import tseslint from 'typescript-eslint'

const ban = (selector, message) => ({ selector, message })

export default tseslint.config(
  {
    ignores: [
      'dist',
      '.cache',
      'node_modules',
      '**/fixtures/**',
      '*.js',
      'test/**/*.mjs',
      'test/**/*.js',
    ],
  },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/require-await': 'off', // fastify's handlers are async by contract
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      'max-lines': ['error', { max: 250, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
      complexity: ['error', 12],
    },
  },
  {
    files: ['src/**/*.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          paths: [
            {
              name: 'node:child_process',
              message:
                'a root daemon that shells out is a bug class: use kernel/, /proc, cgroupfs or the engine',
            },
            { name: 'child_process', message: 'a root daemon that shells out is a bug class' },
            { name: 'dockerode', message: 'only engine/ speaks to the engine' },
            {
              name: 'better-sqlite3',
              message: 'only accounting/ledger and store/sqlite own a database',
            },
            { name: 'koffi', message: 'only kernel/ makes foreign calls' },
          ],
        },
      ],
      'no-restricted-syntax': [
        'error',
        ban('ExportDefaultDeclaration', 'named exports only'),
        ban('TSEnumDeclaration', 'a union of literals erases'),
        ban(
          "CallExpression[callee.object.name='Date'][callee.property.name='now']",
          'time comes from base/clock',
        ),
        ban("NewExpression[callee.name='Date'][arguments.length=0]", 'time comes from base/clock'),
      ],
      'no-console': 'error',
    },
  },
  { files: ['src/base/clock.ts'], rules: { 'no-restricted-syntax': 'off' } },
  {
    files: ['src/engine/**', 'src/kernel/**', 'src/accounting/**', 'src/store/sqlite/**'],
    rules: { 'no-restricted-imports': 'off' },
  },
  // dockerode types its streams as interfaces; what it gives are the classes.
  {
    files: ['src/engine/**'],
    rules: { '@typescript-eslint/no-unsafe-class-instance-assignment': 'off' },
  },
  {
    files: ['src/cli/**'],
    rules: {
      'no-console': 'off',
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              group: [
                'fastify',
                '@sinclair/typebox',
                'dockerode',
                'better-sqlite3',
                'koffi',
                'pino',
              ],
              message: 'start-up time is paid by every task of a wide srun',
            },
            { group: ['node:child_process'], message: 'the client starts no programs' },
          ],
        },
      ],
    },
  },
  // Slurm's database has no door but its own commands; nothing else is started, and never by a daemon.
  { files: ['src/cli/sacct.ts'], rules: { 'no-restricted-imports': 'off' } },
  {
    files: ['test/**/*.ts', '*.config.ts'],
    rules: {
      'max-lines': 'off',
      'max-lines-per-function': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
)
