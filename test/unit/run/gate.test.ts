// The gate: lines to and from init, who may pass, and what is told when init is gone. This process plays the init.
import { closeSync, mkdtempSync, openSync, rmSync, statSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { escapeWord, openGate, parseReport, type GateOptions } from '../../../src/run/gate.js'

const me: GateOptions = {
  uid: process.getuid?.() ?? 0,
  gid: process.getgid?.() ?? 0,
  groups: process.getgroups?.() ?? [],
  initPath: process.execPath,
}

async function makeGate(options: Partial<GateOptions> = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'hepwrap-gate-'))
  const path = join(directory, 'gate')
  const gate = await openGate(path, { ...me, ...options })
  onTestFinished(() => {
    gate.close()
    rmSync(directory, { recursive: true })
  })
  return { gate, path }
}

async function stand(path: string): Promise<{ socket: Socket; heard: () => string }> {
  const socket = connect(path)
  let text = ''
  socket.on('data', (chunk) => (text += chunk.toString()))
  socket.on('error', () => undefined)
  onTestFinished(() => void socket.destroy())
  await new Promise<void>((resolve) => socket.once('connect', resolve))
  return { socket, heard: () => text }
}

const until = async (isTrue: () => boolean) => {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 2))
}

describe('a line of init’s', () => {
  it.each([
    ['exit 0', { kind: 'exited', status: 0 }],
    ['exit 255', { kind: 'exited', status: 255 }],
    ['signaled 9', { kind: 'signaled', signal: 9 }],
    ['signaled 64', { kind: 'signaled', signal: 64 }],
    ['exec 2', { kind: 'failed', step: 'exec', errno: 2 }],
    ['chdir 13', { kind: 'failed', step: 'chdir', errno: 13 }],
  ])('%s', (line, report) => expect(parseReport(line)).toEqual(report))

  it.each([
    '',
    'ready',
    'exit',
    'exit ',
    'exit -1',
    'exit 256',
    'exit 1000',
    'exit 1 2',
    ' exit 1',
    'exit 1\r',
    'exit 0x1',
    'exit 1.5',
    'signaled 0',
    'signaled 65',
    'EXIT 1',
    'go 022 /',
    'signal 9',
    'exit ٣',
    'toString 1',
  ])('%j is none', (line) => expect(parseReport(line)).toBeUndefined())

  it('is one of ours or nothing, for any text', () => {
    fc.assert(
      fc.property(fc.string(), (line) => {
        const report = parseReport(line)
        expect(report === undefined || /^(?:exit|signaled|exec|chdir) \d{1,3}$/.test(line)).toBe(
          true,
        )
      }),
    )
  })
})

describe('an escaped word', () => {
  const unescape = (text: string) =>
    Buffer.from(
      text.replace(/%([0-9A-F]{2})/g, (_all, hex: string) =>
        String.fromCharCode(parseInt(hex, 16)),
      ),
      'latin1',
    )

  it('is printable ASCII without a space, and reads back byte by byte', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const word = escapeWord(text)
        expect(word).toMatch(/^[!-~]*$/)
        expect(unescape(word).equals(Buffer.from(text))).toBe(true)
      }),
    )
  })

  it.each([
    ['/home/alice', '/home/alice'],
    ['/a b', '/a%20b'],
    ['/a\nsignal 9', '/a%0Asignal%209'],
    ['100%', '100%25'],
    ['/ü', '/%C3%BC'],
    ['\u007f', '%7F'],
    ['', ''],
  ])('%j is %s', (text, word) => expect(escapeWord(text)).toBe(word))
})

describe('the gate', () => {
  it('tells who came, says go and signals line by line, and hears the end', async () => {
    const { gate, path } = await makeGate()
    const { socket, heard } = await stand(path)
    const init = await gate.connected
    expect(init.pid).toBe(process.pid)
    init.go(0o7, '/my work')
    init.signal(15)
    await until(() => heard().split('\n').length > 2)
    expect(heard()).toBe('go 007 /my%20work\nsignal 15\n')
    socket.write('ready\nex')
    socket.write('it 3')
    socket.end('7\n')
    expect(await init.ended).toEqual({ kind: 'exited', status: 37 })
    init.signal(9) // to nobody
    init.kill()
  })

  it('waits until init has tried the entrances, but not for one that cannot say so', async () => {
    const { gate, path } = await makeGate()
    const { socket, heard } = await stand(path)
    const init = await gate.connected
    const entrance = openSync(path.replace(/gate$/, 'tasks'), 'w')
    onTestFinished(() => closeSync(entrance))
    let isEntered = false
    const entered = init.enter([entrance]).then(() => (isEntered = true))
    await until(() => heard() === 'enter\n')
    expect(isEntered).toBe(false)
    socket.write('entered\n')
    await entered
    await init.enter([entrance]) // unanswered
    const last = init.enter([entrance])
    socket.end('exit 0\n')
    await last
    expect(await init.ended).toEqual({ kind: 'exited', status: 0 })
    await expect(init.enter([entrance])).rejects.toThrow()
  })

  it('hears an init that dies without a word', async () => {
    const { gate, path } = await makeGate()
    const { socket } = await stand(path)
    const init = await gate.connected
    socket.destroy()
    expect(await init.ended).toEqual({ kind: 'killed' })
  })

  it('does not take half a line for a word', async () => {
    const { gate, path } = await makeGate()
    const { socket } = await stand(path)
    const init = await gate.connected
    socket.end('exit 0')
    expect(await init.ended).toEqual({ kind: 'killed' })
  })

  it('keeps nothing of an init that talks without end', async () => {
    const { gate, path } = await makeGate()
    const { socket } = await stand(path)
    const init = await gate.connected
    socket.write(Buffer.alloc(1 << 20, 'x'))
    socket.end('\nsignaled 9\nnonsense\n\n')
    expect(await init.ended).toEqual({ kind: 'signaled', signal: 9 })
  })

  it('keeps little for an init that does not listen', async () => {
    const { gate, path } = await makeGate()
    const { socket } = await stand(path)
    socket.pause()
    const init = await gate.connected
    init.go(0o22, '/')
    for (let count = 0; count < 200_000; count++) init.signal(10)
    let bytes = 0
    socket.on('data', (chunk: Buffer) => (bytes += chunk.length))
    socket.resume()
    for (let before = -1; before !== bytes; await new Promise((next) => setTimeout(next, 30)))
      before = bytes
    expect(bytes).toBeGreaterThan(0)
    expect(bytes).toBeLessThan(1 << 20)
  })

  it('is one uid’s, and no other program’s than init', async () => {
    const { gate, path } = await makeGate({ uid: me.uid + 1, gid: me.gid }).catch(() => ({
      gate: undefined,
      path: '',
    }))
    if (gate !== undefined) {
      // only root may give the socket away
      await stand(path)
      await expect(gate.connected).rejects.toMatchObject({ code: 'HW_ENGINE_FAILED' })
    }
    const other = await makeGate({ initPath: '/bin/sh' })
    const { socket } = await stand(other.path)
    await expect(other.gate.connected).rejects.toMatchObject({
      code: 'HW_ENGINE_FAILED',
      message: expect.stringContaining('executes another file') as string,
    })
    await new Promise<void>((resolve) =>
      socket.destroyed ? resolve() : socket.once('close', () => resolve()),
    )
  })

  it('is for one set of groups, no more and no fewer', async () => {
    const groups = [...me.groups, 7]
    const { gate, path } = await makeGate({ groups })
    await stand(path)
    const message = expect.stringContaining('were asked for') as string
    await expect(gate.connected).rejects.toMatchObject({ code: 'HW_ENGINE_FAILED', message })
    const same = await makeGate({ groups: [...me.groups, ...me.groups, me.gid] })
    await stand(same.path)
    await expect(same.gate.connected).resolves.toMatchObject({ pid: process.pid })
  })

  it('lets one in and no second', async () => {
    const { gate, path } = await makeGate()
    await stand(path)
    await gate.connected
    await until(() => {
      try {
        statSync(path)
        return false
      } catch {
        return true // closed for listening, and with it removed
      }
    })
    const late = connect(path)
    await expect(
      new Promise((resolve, reject) => late.once('connect', resolve).once('error', reject)),
    ).rejects.toThrow()
  })

  it('has a socket that only its user may use', async () => {
    const { path } = await makeGate()
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  it('can be closed with nobody at it', async () => {
    const { gate, path } = await makeGate()
    gate.close()
    await until(() => {
      try {
        statSync(path)
        return false
      } catch {
        return true
      }
    })
  })

  it('that cannot be opened says so', async () => {
    await expect(openGate('/nonexistent/gate', me)).rejects.toThrow()
  })
})
