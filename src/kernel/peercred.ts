// Who is on the other end of a unix socket, as the kernel recorded it at connect(2). Judges nothing.
import { lastError, libc } from './libc.js'

// asm-generic/socket.h: x86-64, arm64, riscv, ppc64le. Other architectures have no build of ours.
const SOL_SOCKET = 1
const SO_PEERCRED = 17

const getsockopt = libc.func(
  'int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint32_t *length)',
)

export interface PeerCredentials {
  /** In the daemon's own pid namespace; 0 if the peer is not visible there. */
  readonly pid: number
  readonly uid: number
  readonly gid: number
}

/** SO_PEERCRED (unix(7)): effective uid and gid of the peer at its connect(2). Throws a KernelError. */
export function peerCredentials(fd: number): PeerCredentials {
  const credentials = socketOption(fd, SO_PEERCRED, 12)
  return {
    pid: credentials.readInt32LE(0),
    uid: credentials.readUInt32LE(4),
    gid: credentials.readUInt32LE(8),
  }
}

/** One fixed-size option of level SOL_SOCKET; an answer of another size is an error. */
export function socketOption(fd: number, name: number, bytes: number): Buffer {
  const value = Buffer.alloc(bytes)
  const length = [bytes]
  if (Number(getsockopt(fd, SOL_SOCKET, name, value, length)) !== 0) {
    throw lastError('getsockopt', `option ${name} of descriptor ${fd}`)
  }
  if (length[0] !== bytes)
    throw new Error(`getsockopt ${name}: ${length[0] ?? '?'} bytes, not ${bytes}`)
  return value
}
