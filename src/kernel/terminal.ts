// What Node leaves out of a terminal's raw mode: libuv's still turns "\n" into "\r\n" on the way out (uv_tty_set_mode(3)),
// and full-screen programs, which use "\n" to go down in the same column, draw in the wrong one.
import koffi from 'koffi'
import { lastError, libc } from './libc.js'

const tcgetattr = libc.func('tcgetattr', 'int', ['int', koffi.out('void *')])
const tcsetattr = libc.func('tcsetattr', 'int', ['int', 'int', 'void *'])

/** struct termios: four 32-bit words of flags, the second for output; 60 bytes with glibc and musl. */
const TERMIOS_BYTES = 128
const OUTPUT_FLAGS = 1
const OPOST = 1
const TCSADRAIN = 1

/** What is written to the terminal reaches it byte for byte, until its mode is set again. */
export function leaveOutputAlone(fd: number): void {
  const settings = Buffer.alloc(TERMIOS_BYTES)
  const flags = new Uint32Array(settings.buffer, settings.byteOffset, 4)
  if (Number(tcgetattr(fd, settings)) !== 0) throw lastError('tcgetattr', `of ${fd}`)
  flags[OUTPUT_FLAGS] = (flags[OUTPUT_FLAGS] ?? 0) & ~OPOST
  if (Number(tcsetattr(fd, TCSADRAIN, settings)) !== 0) throw lastError('tcsetattr', `of ${fd}`)
}
