// A field of the engine's create request, and who decides what it says. The tables: config-fields, host-fields, nested-fields.

export interface RequestField {
  /** "HostConfig.Devices[].PathOnHost"; {} ends a map whose keys are the user's or the image's. */
  readonly path: string
  /** 'image': the engine takes it over from the image. */
  readonly by: 'us' | 'engine' | 'image'
  /** What it is set from, or why it does no harm where it is not. */
  readonly text: string
  /** Minor versions of the Engine API 1 that know it, where not all of FIRST_API … LAST_API do. */
  readonly since?: number
  readonly until?: number
  /** What the engine reports where nobody has set it, beside nothing at all (null, "", 0, false, empty). */
  readonly reports?: readonly unknown[]
}

type More = Pick<RequestField, 'since' | 'until' | 'reports'>

export const set = (path: string, text: string, more: More = {}): RequestField => ({
  path,
  by: 'us',
  text,
  ...more,
})

export const left = (path: string, text: string, more: More = {}): RequestField => ({
  path,
  by: 'engine',
  text,
  ...more,
})

export const ofImage = (path: string, text: string, more: More = {}): RequestField => ({
  path,
  by: 'image',
  text,
  ...more,
})

/** The same for several fields of one object. */
export const leftAll = (
  object: string,
  names: readonly string[],
  text: string,
  more: More = {},
): readonly RequestField[] => names.map((name) => left(`${object}${name}`, text, more))
