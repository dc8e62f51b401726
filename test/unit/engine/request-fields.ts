// Every field of the engine's create request, API 1.41 … 1.56, each set by us or left to the engine; and any value taken
// apart into such fields. What is not in the table is not said: a new field of a later API has to be decided on here.
import { ADDRESS_FIELDS, CONFIG_FIELDS, NETWORKING_FIELDS } from './config-fields.js'
import { HOST_FIELDS } from './host-fields.js'
import { MOUNT_FIELDS, OTHER_NESTED_FIELDS } from './nested-fields.js'
import type { RequestField } from './request-field.js'

/** Minor versions of the Engine API 1 whose documentation has been read for this table. */
export const FIRST_API = 41
export const LAST_API = 56

export const SECTIONS: Readonly<Record<string, readonly RequestField[]>> = {
  'The address': ADDRESS_FIELDS,
  Config: CONFIG_FIELDS,
  HostConfig: HOST_FIELDS,
  'HostConfig.Mounts': MOUNT_FIELDS,
  'Other objects of HostConfig': OTHER_NESTED_FIELDS,
  NetworkingConfig: NETWORKING_FIELDS,
}

export const FIELDS: readonly RequestField[] = Object.values(SECTIONS).flat()

const known = new Map(FIELDS.map((field) => [field.path, field]))
export const fieldAt = (path: string): RequestField | undefined => known.get(path)

export interface Leaf {
  /** As in the table, if it is there. */
  readonly path: string
  readonly value: unknown
}

/**
 * A request, or what the engine reports of a container, as fields of the table. An empty object or array is a leaf, and
 * so is a map and everything that no row looks into: its path is then the one that has to be in the table.
 */
export function leavesOf(value: unknown, path = ''): readonly Leaf[] {
  if (known.has(`${path}{}`)) return [{ path: `${path}{}`, value }]
  if (known.has(path)) return [{ path, value }]
  if (Array.isArray(value) && value.length > 0)
    return value.flatMap((entry) => leavesOf(entry, `${path}[]`))
  if (isObject(value) && Object.keys(value).length > 0)
    return Object.entries(value).flatMap(([key, entry]) =>
      leavesOf(entry, path === '' ? key : `${path}.${key}`),
    )
  return [{ path, value }]
}

/** A row for the path, or for something inside of it: "HostConfig.Devices" of an empty list. */
export const isKnown = (path: string): boolean =>
  known.has(path) ||
  FIELDS.some((field) => field.path.startsWith(`${path}.`) || field.path.startsWith(`${path}[].`))

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** docs/engine-request.md as it must read. */
export function page(): string {
  const by = { us: 'set', engine: 'left to the engine', image: 'as the image has it' }
  const row = (field: RequestField) =>
    `| \`${field.path}\` | ${by[field.by]} | ${field.text} | ${versionsOf(field)} |`
  const tables = Object.entries(SECTIONS).flatMap(([title, fields]) => [
    `## ${title}`,
    '',
    '| field | who says it | from what, or why it does no harm | API |',
    '| --- | --- | --- | --- |',
    ...fields.map(row),
    '',
  ])
  return [
    '# What the engine is asked for',
    '',
    `Every field of the request that creates a container, of the Docker Engine API 1.${FIRST_API} … 1.${LAST_API}. What is not here is never said:`,
    'nothing of a user’s request is merged into it. Held by `test/unit/engine/create-request.test.ts`, and with a real engine by',
    '`test/integration/engine/create-request.ts`. Written by `npx vitest run --project unit test/unit/engine -u`.',
    '',
    'Of an image that is new to it the daemon makes one container more, of `?name`, `Image`, `Labels` and an empty `Cmd`, and never starts it:',
    'the image’s passwd and group are looked at in it.',
    '',
    'Podman is asked for the same by its own API (`libpod/containers/create`), whose words are in `src/engine/podman.ts`: what Docker is told',
    'here is told there, and what Podman’s `containers.conf` could weaken besides. What comes of it is held by the same tests.',
    '',
    ...tables,
  ].join('\n')
}

const versionsOf = ({ since = FIRST_API, until = LAST_API }: RequestField): string =>
  since === FIRST_API && until === LAST_API
    ? ''
    : until === LAST_API
      ? `from 1.${since}`
      : `to 1.${until}`
