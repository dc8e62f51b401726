// What a container may open by default, as rules of the v1 devices controller.

/**
 * Docker's list (moby oci/defaults.go) and runc's own (specconv AllowedDevices), without /dev/net/tun (10:200), which
 * some versions of runc add: without capabilities it is of no use. Making nodes ("m") needs CAP_MKNOD, which runs lack.
 */
export const ENGINE_DEVICES: readonly string[] = [
  'c *:* m',
  'b *:* m',
  'c 1:3 rwm', // null
  'c 1:5 rwm', // zero
  'c 1:7 rwm', // full
  'c 1:8 rwm', // random
  'c 1:9 rwm', // urandom
  'c 5:0 rwm', // tty
  'c 5:1 rwm', // console
  'c 5:2 rwm', // ptmx
  'c 136:* rwm', // pts
]
