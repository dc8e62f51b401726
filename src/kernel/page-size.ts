// getpagesize(2): the kernel counts some things in pages, which are not 4096 bytes everywhere (arm64).
import { libc } from './libc.js'

export const PAGE_BYTES = Number(libc.func('int getpagesize()')())
