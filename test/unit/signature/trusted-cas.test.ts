// Which hosts share what they are judged by: reading the system's CAs takes so long that no host may cause it.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { openTrustedCas } from '../../../src/signature/trusted-cas.js'
import { selfSigned } from '../../support/self-signed.js'

function certsDirectory(...hosts: string[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'certs-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  for (const host of hosts) mkdirSync(join(directory, host))
  return directory
}

it('all hosts that the site says nothing of share one context', () => {
  const casOf = openTrustedCas(certsDirectory('empty.example'))
  const shared = casOf('a.example')
  for (const host of ['b.example:5000', 'empty.example', '[::1]', '../a', '']) {
    expect(casOf(host)).toBe(shared)
  }
})

it('a host of the site’s has a context of its own, made anew when its files change', () => {
  const directory = certsDirectory('reg.example', 'other.example')
  writeFileSync(join(directory, 'reg.example', 'ca.crt'), selfSigned().cert)
  writeFileSync(join(directory, 'other.example', 'ca.crt'), selfSigned().cert)
  const casOf = openTrustedCas(directory)
  const own = casOf('reg.example')
  expect(own).not.toBe(casOf('a.example'))
  expect(own).not.toBe(casOf('other.example'))
  expect(casOf('reg.example')).toBe(own)
  writeFileSync(join(directory, 'reg.example', 'ca.crt'), selfSigned().cert)
  const renewed = casOf('reg.example')
  expect(renewed).not.toBe(own)
  expect(casOf('reg.example')).toBe(renewed)
  rmSync(join(directory, 'reg.example', 'ca.crt'))
  expect(casOf('reg.example')).toBe(casOf('a.example'))
})
