// Elements from plain values. Words always become text: nothing here reads markup, whatever users called their images.

type Attributes = Readonly<Record<string, string | number | boolean | undefined>>
export type Child = Node | string | undefined

/** `true` sets an empty attribute; `false` and undefined leave it out. */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes))
    if (value !== undefined && value !== false)
      made.setAttribute(name, value === true ? '' : String(value))
  made.append(...children.filter((child) => child !== undefined))
  return made
}

/** What page.html has by this id. */
export function byId<Type extends HTMLElement>(id: string, type: new () => Type): Type {
  const found = document.getElementById(id)
  if (!(found instanceof type)) throw new Error(`page.html has no #${id} of the right kind`)
  return found
}

/** A file of what is in the table, made here: nothing is asked for again. */
export function offerFile(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: 'text/csv;charset=utf-8' }))
  const link = element('a', { href: url, download: name })
  link.click()
  URL.revokeObjectURL(url)
}
