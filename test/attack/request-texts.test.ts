// Texts of a run request that are none, or that somebody else would read as more than a text. Each request is answered with a
// code of the catalogue, or run as what it says; none is a fault, and another user is served.
import type { RunRequest } from '../../src/wire/run-api.js'
import { FRAME, frame } from '../../src/wire/frames.js'
import { expect } from 'vitest'
import { bareRequest, runBytes, UPGRADE } from '../slurm/raw-request.js'
import { attack } from './attack.js'
import {
  attempt,
  expectAllRefused,
  expectAnswered,
  expectBobServed,
  watchDaemon,
} from './watched-daemon.js'

const watched = watchDaemon()

const plain = JSON.stringify(bareRequest())
const asBytes = (payload: Buffer) =>
  Buffer.concat([Buffer.from(UPGRADE), frame(FRAME.request, payload)])

const TEXTS = [
  'image',
  'command',
  'entrypoint',
  'workdir',
  'name',
  'cwd',
  'home',
  'shell',
  'env',
  'host_env',
  'labels',
  'mounts',
  'tmpfs',
  'forbidden',
  'ulimits',
] as const
/** The least request with this text in that field. */
function requestWith(field: (typeof TEXTS)[number], text: string): Partial<RunRequest> {
  const mount = {
    source: text,
    fd: 3,
    target: `/${text}`,
    read_only: true,
    origin: 'user' as const,
  }
  const whole = {
    command: ['echo', text],
    env: { [`A${text}`]: text },
    host_env: { [`A${text}`]: text },
    labels: { [`l${text}`]: text },
    mounts: [mount],
    tmpfs: [{ target: `/tmp/${text}` }],
    forbidden: [text],
    ulimits: [{ name: text, soft: 1, hard: 1 }],
    workdir: `/${text}`,
    cwd: `/${text}`,
    home: `/${text}`,
    shell: `/${text}`,
  }
  return { [field]: field in whole ? whole[field as keyof typeof whole] : text }
}
const eachText = (word: string) =>
  TEXTS.map((field) => runBytes({ ...bareRequest(), ...requestWith(field, word) }))

attack(
  'X26',
  'own',
  'NUL, newlines, escapes and invisible characters in every text of a request',
  async () => {
    const words = [
      '\0',
      'a\nb\r\n',
      '\u001b[2J\u001b]0;x\u0007',
      '\u202e\u2066\u200b',
      '\u007f\u0085\u009b',
      ',rw,',
      '../..',
      '%s%n',
      '$(id)',
      '|;&',
    ]
    for (const half of [words.slice(0, 5), words.slice(5)])
      expectAnswered(await attempt(half.flatMap(eachText), 40))
    expect(watched.daemon.logText()).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f]/)
    await expectBobServed()
  },
  120_000,
)

attack(
  'X27',
  'own',
  'lone surrogates and malformed UTF-8 in every text of a request',
  async () => {
    const surrogate = TEXTS.map((field) =>
      runBytes(
        JSON.stringify({ ...bareRequest(), ...requestWith(field, 'SURROGATE') }).replaceAll(
          'SURROGATE',
          'x\\ud800y\\udfff',
        ),
      ),
    )
    expectAnswered(await attempt(surrogate, 30))
    const bytes = [
      [0xc0, 0xaf],
      [0xed, 0xa0, 0x80],
      [0xf5, 0x80, 0x80, 0x80],
      [0xff],
      [0x80],
      [0xe2, 0x82],
      [0xf8, 0x88, 0x80, 0x80, 0x80],
    ]
    const [head, tail] = plain.split('"busybox:test"')
    const malformed = bytes.map((word) =>
      asBytes(
        Buffer.concat([
          Buffer.from(`${head!}"busybox`),
          Buffer.from(word),
          Buffer.from(`:test"${tail!}`),
        ]),
      ),
    )
    const utf16 = [
      asBytes(Buffer.from(plain, 'utf16le')),
      asBytes(Buffer.from(`\ufeff${plain}`, 'utf16le')),
    ]
    expectAllRefused(await attempt([...malformed, ...utf16]))
    await expectBobServed()
  },
  90_000,
)
