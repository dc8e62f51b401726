import { describe, expect, it } from 'vitest'
import { isInsecureRegistry } from '../../../src/signature/insecure-registries.js'

const rules = {
  isSecure: {
    'docker.io': true,
    'plain.example.org:5000': false,
    'named.example.org': true,
    '127.0.0.2:5000': true,
  },
  insecureRanges: ['127.0.0.0/8', '::1/128', '10.1.0.0/16', 'nonsense', '1.2.3.4/99', '/8'],
}
const addresses = new Map<string, readonly string[]>(
  Object.entries({
    localhost: ['127.0.0.1', '::1'],
    'inside.example.org': ['192.0.2.1', '10.1.2.3'],
    'outside.example.org': ['192.0.2.1', '2001:db8::1'],
    'named.example.org': ['10.1.2.3'],
    'docker.io': ['10.1.2.3'],
  }),
)
const lookup = async (name: string) => {
  const found = addresses.get(name)
  if (found === undefined) throw new Error('ENOTFOUND')
  return found
}

describe('a registry is insecure', () => {
  it.each([
    '127.0.0.1:5000',
    '127.255.0.1',
    'localhost',
    'localhost:5000',
    '[::1]:5000',
    'plain.example.org:5000',
    'inside.example.org:5000',
  ])('%s', async (host) => {
    expect(await isInsecureRegistry(host, rules, lookup)).toBe(true)
  })
})

describe('a registry is secure', () => {
  it.each([
    'docker.io',
    'named.example.org', // what is named is what it is named, whatever its address
    '127.0.0.2:5000',
    'plain.example.org', // another port is another registry
    'outside.example.org',
    'unknown.example.org',
    '128.0.0.1:5000',
    '1.2.3.4',
    '[::2]:5000',
    '__proto__',
  ])('%s', async (host) => {
    expect(await isInsecureRegistry(host, rules, lookup)).toBe(false)
  })
})
