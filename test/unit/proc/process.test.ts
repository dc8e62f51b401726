import { readFileSync } from 'node:fs'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  isNamespaceInit,
  readFdOwner,
  readNamespace,
  readProcess,
} from '../../../src/proc/process.js'

const FIXTURES = join(import.meta.dirname, 'fixtures')

describe('readProcess', () => {
  let root: string
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'hepwrap-proc-'))
  })
  afterEach(() => {
    rmSync(root, { recursive: true })
  })
  const fixture = (name: string) => {
    cpSync(join(FIXTURES, name), join(root, '7'), { recursive: true })
    return readProcess(7, root)
  }

  it('reads ids, groups, umask and start time', () => {
    expect(fixture('task')).toEqual({
      pid: 7,
      state: 'R',
      uid: 2001,
      gid: 2001,
      groups: [2001, 3000],
      umask: 0o022,
      startTimeTicks: 279646,
    })
  })

  it('has no uid for mixed ids, whatever the process calls itself', () => {
    expect(fixture('odd')).toMatchObject({
      uid: undefined,
      gid: 0,
      groups: [],
      startTimeTicks: 286443,
    })
  })

  it('does not take a name for a line', () => {
    expect(fixture('forged')).toMatchObject({ uid: 2001, groups: [3000] })
  })

  it('knows nothing of a process that is gone', () => {
    expect(readProcess(8, root)).toBeUndefined()
    expect(readNamespace(8, 'mnt', root)).toBeUndefined()
    expect(readFdOwner(8, root)).toBeUndefined()
  })

  it('takes a zombie for what it is', () => {
    const status = readFileSync(join(FIXTURES, 'task', 'status'), 'utf8')
    mkdirSync(join(root, '7'))
    writeFileSync(
      join(root, '7', 'status'),
      status.replace(/^Umask.*\n/m, '').replace('R (running)', 'Z (zombie)'),
    )
    cpSync(join(FIXTURES, 'task', 'stat'), join(root, '7', 'stat'))
    expect(readProcess(7, root)).toMatchObject({ state: 'Z', umask: undefined })
  })

  it.each([
    ['Uid:\t2001\t2001\t2001\t2001', 'Uid:\t2001\t2001\t2001'],
    ['Uid:\t2001\t2001\t2001\t2001', 'Uid:\t-1\t-1\t-1\t-1'],
    ['Groups:\t2001 3000', 'Groups:\t2001 x'],
    ['Gid:', 'Gjd:'],
    ['Umask:\t0022', 'Umask:\t00x2'],
  ])('throws where %j has become %j', (good, bad) => {
    const status = readFileSync(join(FIXTURES, 'task', 'status'), 'utf8')
    mkdirSync(join(root, '7'))
    writeFileSync(join(root, '7', 'status'), status.replace(good, bad))
    cpSync(join(FIXTURES, 'task', 'stat'), join(root, '7', 'stat'))
    expect(() => readProcess(7, root)).toThrow()
  })

  it('reads namespaces', () => {
    mkdirSync(join(root, '7', 'ns'), { recursive: true })
    symlinkSync('mnt:[4026531841]', join(root, '7', 'ns', 'mnt'))
    expect(readNamespace(7, 'mnt', root)).toBe('mnt:[4026531841]')
    expect(readNamespace('self', 'user')).toMatch(/^user:\[\d+\]$/)
  })
})

describe('isNamespaceInit', () => {
  it.each([
    ['PID 1 of a container', 'Name:\tsh\nNSpid:\t8419\t1\n', true],
    ['another process of it', 'Name:\tsh\nNSpid:\t8420\t11\n', false],
    ['a process of the node', 'Name:\tsh\nNSpid:\t8421\n', false],
    ['a name that says so', 'Name:\tNSpid: 1\nNSpid:\t8421\t2\n', false],
    ['a kernel without the row', 'Name:\tsh\n', false],
  ])('%s', (_, status, is) => {
    const root = mkdtempSync(join(tmpdir(), 'hepwrap-proc-'))
    mkdirSync(join(root, '7'))
    writeFileSync(join(root, '7', 'status'), status)
    expect(isNamespaceInit(7, root)).toBe(is)
    expect(isNamespaceInit(8, root)).toBe(false)
    rmSync(root, { recursive: true })
  })
})
