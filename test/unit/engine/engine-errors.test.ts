// What engines and registries say, word for word, to our reason codes. dockerd 20.10.24, 1.13 and 27; podman 1.9 to 5.
import { describe, expect, it } from 'vitest'
import { HepwrapError } from '../../../src/base/errors.js'
import { engineError, isNotFound, pullError } from '../../../src/engine/engine-errors.js'

/** As docker-modem rejects: for a stream (pull) the reply is in the text alone, otherwise also parsed. */
const rejection = (statusCode: number, reason: string, message: string, isStream = false) =>
  Object.assign(new Error(`(HTTP code ${statusCode}) ${reason} - ${message} `), {
    statusCode,
    reason,
    json: isStream ? null : { message },
  })

const socketError = (code: string) =>
  Object.assign(new Error(`connect ${code} /run/docker.sock`), { code })

describe('a pull that failed', () => {
  it.each([
    // dockerd
    [
      'manifest for 127.0.0.1:5000/busybox:nosuch not found: manifest unknown: manifest unknown',
      'HW_IMAGE_NOT_FOUND',
    ],
    [
      'manifest for docker.elastic.co/kibana/kibana:latest not found: manifest unknown: manifest unknown',
      'HW_IMAGE_NOT_FOUND',
    ],
    [
      'repository 127.0.0.1:5000/nosuch not found: name unknown: repository name not known to registry',
      'HW_IMAGE_NOT_FOUND',
    ],
    [
      'manifest for 127.0.0.1:5000/busybox@sha256:0000 not found: manifest unknown: manifest unknown',
      'HW_IMAGE_NOT_FOUND',
    ],
    [
      "pull access denied for nosuch, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
      'HW_REGISTRY_AUTH',
    ],
    [
      'Head "http://127.0.0.1:5001/v2/busybox/manifests/test": no basic auth credentials',
      'HW_REGISTRY_AUTH',
    ],
    [
      'Get https://docker.elastic.co/v2/elasticsearch/elasticsearch-oss/manifests/latest: unauthorized: authentication required',
      'HW_REGISTRY_AUTH',
    ],
    [
      'Get https://registry-1.docker.io/v2/a/b/manifests/latest: unauthorized: incorrect username or password',
      'HW_REGISTRY_AUTH',
    ],
    [
      'error parsing HTTP 403 response body: invalid character \'<\' looking for beginning of value: "<html>403 Forbidden</html>"',
      'HW_REGISTRY_AUTH',
    ],
    ['error parsing HTTP 403 response body: unexpected end of JSON input: ""', 'HW_REGISTRY_AUTH'],
    [
      'error parsing HTTP 404 response body: invalid character \'<\' looking for beginning of value: "<html>"',
      'HW_IMAGE_NOT_FOUND',
    ],
    ['no matching manifest for linux/amd64 in the manifest list entries', 'HW_IMAGE_PLATFORM'],
    ['no matching manifest for linux/arm/v7 in the manifest list entries', 'HW_IMAGE_PLATFORM'],
    ['no supported platform found in manifest list', 'HW_IMAGE_PLATFORM'],
    ['image operating system "windows" cannot be used on this platform', 'HW_IMAGE_PLATFORM'],
    [
      'image with reference busybox was found but does not match the specified platform: wanted linux/amd64, actual: linux/s390x',
      'HW_IMAGE_PLATFORM',
    ],
    [
      'Get "http://127.0.0.1:5000/v2/": dial tcp 127.0.0.1:5000: connect: connection refused',
      'HW_REGISTRY_DOWN',
    ],
    [
      'Get "https://registry.example/v2/": dial tcp: lookup registry.example on 10.0.0.1:53: no such host',
      'HW_REGISTRY_DOWN',
    ],
    [
      'Get "https://registry.example/v2/": dial tcp: lookup registry.example on 10.0.0.1:53: server misbehaving',
      'HW_REGISTRY_DOWN',
    ],
    [
      'Get "https://registry-1.docker.io/v2/": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)',
      'HW_REGISTRY_DOWN',
    ],
    ['Get "https://registry-1.docker.io/v2/": context deadline exceeded', 'HW_REGISTRY_DOWN'],
    ['Get "https://registry-1.docker.io/v2/": net/http: TLS handshake timeout', 'HW_REGISTRY_DOWN'],
    ['Get "https://10.1.1.1/v2/": dial tcp 10.1.1.1:443: i/o timeout', 'HW_REGISTRY_DOWN'],
    [
      'Get https://registry-1.docker.io/v2/library/busybox/manifests/latest: Received unexpected HTTP status: 500 Internal Server Error',
      'HW_REGISTRY_DOWN',
    ],
    ['received unexpected HTTP status: 503 Service Unavailable', 'HW_REGISTRY_DOWN'],
    ['unexpected EOF', 'HW_REGISTRY_DOWN'],
    ['toomanyrequests: You have reached your pull rate limit.', 'HW_PULL_FAILED'],
    [
      'Get "https://registry.example/v2/": x509: certificate signed by unknown authority',
      'HW_PULL_FAILED',
    ],
    [
      'Get "https://10.0.0.1:5000/v2/": http: server gave HTTP response to HTTPS client',
      'HW_PULL_FAILED',
    ],
    [
      'failed to register layer: Error processing tar file(exit status 1): write /bin/x: no space left on device',
      'HW_PULL_FAILED',
    ],
    // podman
    [
      'initializing source docker://127.0.0.1:5000/nosuch:latest: reading manifest latest in 127.0.0.1:5000/nosuch: name unknown: repository name not known to registry',
      'HW_IMAGE_NOT_FOUND',
    ],
    [
      'Error initializing source docker://a/b:1: Error reading manifest 1 in docker.io/a/b: manifest unknown: manifest unknown',
      'HW_IMAGE_NOT_FOUND',
    ],
    [
      'Error initializing source docker://quay.io/ubuntu:latest: Error reading manifest latest in quay.io/ubuntu: StatusCode: 404, <!DOCTYPE HTML',
      'HW_IMAGE_NOT_FOUND',
    ],
    [
      'Error reading manifest latest in docker.io/a/b: errors: denied: requested access to the resource is denied unauthorized: authentication required',
      'HW_REGISTRY_AUTH',
    ],
    [
      'Error choosing an image from manifest list docker://ubuntu:latest: no image found in manifest list for architecture arm, variant "", OS linux',
      'HW_IMAGE_PLATFORM',
    ],
    [
      'choosing an image from manifest list docker://a/b:latest: no image found in image index for architecture amd64, variant "", OS linux',
      'HW_IMAGE_PLATFORM',
    ],
    [
      'selecting image from manifest list in "docker://a": no image found in image index for architecture "amd64", variant "", OS "linux"',
      'HW_IMAGE_PLATFORM',
    ],
    [
      'initializing source docker://127.0.0.1:5000/busybox:test: pinging container registry 127.0.0.1:5000: Get "http://127.0.0.1:5000/v2/": dial tcp 127.0.0.1:5000: connect: connection refused',
      'HW_REGISTRY_DOWN',
    ],
    ['something that no table knows', 'HW_PULL_FAILED'],
  ])('%s → %s', (message, code) => {
    // By status before the first line of progress, in the stream behind it: the words are the same.
    for (const thrown of [rejection(500, 'server error', message, true), new Error(message)]) {
      const error = pullError('reg/img:1', thrown)
      expect(error.code).toBe(code)
      expect(error.message).toContain('"reg/img:1"')
      expect(error.message).not.toMatch(/HTTP code/)
      expect(error.cause).toBe(thrown)
    }
  })

  it('for want of an engine is the engine’s fault', () => {
    expect(pullError('busybox', socketError('ECONNREFUSED')).code).toBe('HW_ENGINE_DOWN')
    expect(
      pullError('busybox', Object.assign(new Error('aborted'), { code: 'ECONNRESET' })).code,
    ).toBe('HW_ENGINE_DOWN')
  })

  it('keeps its message to one line of bounded length without control characters', () => {
    const { message } = pullError('x', new Error(`a\nb\u001b[2J\u0007${'z'.repeat(5000)}`))
    expect(message).not.toMatch(/[\u0000-\u001f\u007f]/)
    expect(message.length).toBeLessThan(700)
  })
})

describe('an engine that failed', () => {
  it.each(['ECONNREFUSED', 'ENOENT', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EACCES', 'EAGAIN'])(
    '%s at its socket: it is down',
    (code) => {
      const error = engineError('create the container', socketError(code))
      expect(error.code).toBe('HW_ENGINE_DOWN')
      expect(error.message).toContain(code)
    },
  )

  it.each([
    [404, 'no such container', 'No such image: sha256:0'],
    [409, 'unexpected', 'Conflict. The container name "/x" is already in use by container "y".'],
    [
      400,
      'bad parameter',
      'invalid mount config for type "bind": bind source path does not exist: /x',
    ],
    [
      500,
      'server error',
      'OCI runtime create failed: runc create failed: unable to start container process',
    ],
  ])('status %i: it refused, and says why', (status, reason, message) => {
    const error = engineError('create the container', rejection(status, reason, message))
    expect(error.code).toBe('HW_ENGINE_FAILED')
    expect(error.message).toBe(`cannot create the container: ${message}`)
  })

  it('whose words were ours already keeps them', () => {
    const ours = new HepwrapError('HW_IMAGE_ABSENT', 'x')
    expect(engineError('pull', ours)).toBe(ours)
  })

  it.each([undefined, null, 'text', 42, {}])(
    'by throwing %j is a failure all the same',
    (thrown) => {
      expect(engineError('start', thrown).code).toBe('HW_ENGINE_FAILED')
      expect(isNotFound(thrown)).toBe(false)
    },
  )

  it('is told apart from one that has not what was asked for', () => {
    expect(isNotFound(rejection(404, 'no such container', 'x'))).toBe(true)
    expect(isNotFound(rejection(409, 'x', 'x'))).toBe(false)
    expect(isNotFound(socketError('ENOENT'))).toBe(false)
  })
})

describe('where engine and daemon keep what is theirs', () => {
  it.each([
    [
      'error mounting "/run/hepwrap/runs/ab12/places/0" to rootfs at "/x"',
      'error mounting "(…)" to rootfs at "/x"',
    ],
    ['mkdir /var/lib/docker/overlay2/ab/merged/x: read-only', 'mkdir (…): read-only'],
    ['no such file: /home/alice/run/docker', 'no such file: /home/alice/run/docker'],
  ])('is nobody’s business: %s', (said, told) => {
    const { message } = engineError('start the container', rejection(500, 'server error', said))
    expect(message).toBe(`cannot start the container: ${told}`)
  })
})
