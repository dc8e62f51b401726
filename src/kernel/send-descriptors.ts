// Open files handed to another process over a unix socket: sendmsg(2) with SCM_RIGHTS, unix(7).
import koffi from 'koffi'
import { lastError, libc } from './libc.js'

const SOL_SOCKET = 1
const SCM_RIGHTS = 1
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000

// cmsghdr of 64-bit Linux: a size_t and two ints, then the descriptors.
const HEADER_BYTES = 16
const FD_BYTES = 4

const Part = koffi.struct({ bytes: 'uint8_t *', length: 'size_t' })
const Message = koffi.struct({
  name: 'void *',
  nameLength: 'uint32_t',
  parts: koffi.pointer(Part),
  partCount: 'size_t',
  control: 'uint8_t *',
  controlLength: 'size_t',
  flags: 'int',
})
const sendmsg = libc.func('sendmsg', 'long', ['int', koffi.pointer(Message), 'int'])

/** Sends a short text with copies of these descriptors; the caller keeps and closes its own. Throws a KernelError. */
export function sendDescriptors(
  socketFd: number,
  text: string,
  descriptors: readonly number[],
): void {
  const bytes = Buffer.from(text)
  const control = controlOf(descriptors)
  const message = {
    name: null,
    nameLength: 0,
    parts: [{ bytes, length: bytes.length }],
    partCount: 1,
    control,
    controlLength: control.length,
    flags: 0,
  }
  const sent = Number(sendmsg(socketFd, message, MSG_DONTWAIT | MSG_NOSIGNAL))
  if (sent < 0) throw lastError('sendmsg', `descriptor ${socketFd}`)
  if (sent !== bytes.length) throw new Error(`sendmsg: ${sent} of ${bytes.length} bytes`)
}

function controlOf(descriptors: readonly number[]): Buffer {
  const length = HEADER_BYTES + FD_BYTES * descriptors.length
  const control = Buffer.alloc(Math.ceil(length / 8) * 8)
  control.writeBigUInt64LE(BigInt(length), 0)
  control.writeInt32LE(SOL_SOCKET, 8)
  control.writeInt32LE(SCM_RIGHTS, 12)
  descriptors.forEach((fd, index) => control.writeInt32LE(fd, HEADER_BYTES + FD_BYTES * index))
  return control
}
