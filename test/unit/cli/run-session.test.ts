// `hepwrap run` as a process against a daemon played by the test: streams, signals, ends.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { connect, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { FRAME } from '../../../src/wire/frames.js'
import { buildClient, type BuiltClient } from './support/built-client.js'
import { startClient, type ClientEnd, type ClientOptions } from './support/client-process.js'
import {
  startFakeDaemon,
  type FakeDaemon,
  type FakeRoutes,
  type PlayedRun,
} from './support/fake-daemon.js'

let client: BuiltClient
let directory: string
let daemon: FakeDaemon | undefined

beforeAll(async () => {
  client = await buildClient()
})
afterAll(() => client.remove())
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hepwrap-session-'))
})
afterEach(async () => {
  await daemon?.stop()
  daemon = undefined
  rmSync(directory, { recursive: true, force: true })
})

async function start(routes: FakeRoutes, args: readonly string[], options?: ClientOptions) {
  daemon = await startFakeDaemon(routes)
  return startClient(client.path, daemon.socketPath, ['run', ...args], options)
}

const play = async (
  run: (run: PlayedRun) => void | Promise<void>,
  args: readonly string[] = ['busybox'],
  options?: ClientOptions,
): Promise<ClientEnd> => (await start({ run }, args, options)).end

function makeFifo(): string {
  const path = join(directory, 'fifo')
  execFileSync('mkfifo', [path])
  return path
}

const writeAll = async ({ socket }: PlayedRun, bytes: Buffer): Promise<void> => {
  if (!socket.write(bytes)) await once(socket, 'drain')
}

describe('the end of a run', () => {
  it.each([0, 1, 37, 126, 137, 255])('is the exit status %i of the close frame', async (exit) => {
    expect(await play((run) => run.close({ exit }))).toMatchObject({ status: exit, stderr: '' })
  })

  it('shows the daemon’s message as one line that cannot steer a terminal', async () => {
    const end = await play((run) =>
      run.close({ exit: 125, code: 'HW_IMAGE_REFUSED', message: 'image "x\u001b[2J\ny" \u202eno' }),
    )
    expect(end.status).toBe(125)
    expect(end.stderr).toBe('hepwrap: image "x [2J y"  no (HW_IMAGE_REFUSED)\n')
    expect(end.stdout).toHaveLength(0)
  })

  it('is HW_DAEMON_LOST where the connection ends without a close frame', async () => {
    const end = await play((run) => {
      run.send(FRAME.stdout, Buffer.from('before'))
      run.socket.end()
    })
    expect(end.status).toBe(125)
    expect(end.stdout.toString()).toBe('before')
    expect(end.stderr).toMatch(/^hepwrap: hepwrapd went away .* \(HW_DAEMON_LOST\)\n$/)
  })

  it('is HW_DAEMON_LOST where the daemon dies with our bytes unread', async () => {
    const end = await play(
      async (run) => {
        run.socket.pause()
        await new Promise((resolve) => setTimeout(resolve, 100))
        run.socket.destroy()
      },
      ['-i', 'busybox'],
      { stdio: [openSync('/dev/zero', 'r'), 'pipe', 'pipe'] },
    )
    expect(end.status).toBe(125)
    expect(end.stderr).toMatch(/\(HW_DAEMON_LOST\)\n$/)
  })

  it.each(['{"exit":256}', '{"exit":-1}', '{"exit":"0"}', '{}', 'nonsense', 'null'])(
    'is 125 where the close frame says %s',
    async (text) => {
      const end = await play((run) => void run.send(FRAME.close, Buffer.from(text)))
      expect(end.status).toBe(125)
      expect(end.stderr).toMatch(/\(HW_REQUEST_INVALID\)\n$/)
    },
  )

  it('is 125 where the daemon sends an endless frame of its own', async () => {
    const end = await play((run) => {
      const header = Buffer.alloc(8)
      header.writeUInt8(FRAME.close, 0)
      header.writeUInt32BE(0xffffffff, 4)
      run.socket.write(header)
    })
    expect(end.status).toBe(125)
    expect(end.stderr).toContain('4294967295 bytes')
  })

  it('says in one line that nobody listens', async () => {
    const path = join(directory, 'absent.sock')
    const end = await startClient(client.path, path, ['run', 'busybox']).end
    expect(end.status).toBe(125)
    expect(end.stderr).toBe(
      `hepwrap: hepwrapd does not answer on this node: ${path} (HW_DAEMON_DOWN)\n`,
    )
  })

  it('says the same of a socket that a dead daemon left behind', async () => {
    const fake = await startFakeDaemon({})
    const script = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`
    const path = join(directory, 'left.sock')
    spawnSync(process.execPath, ['-e', script, path])
    expect(statSync(path).isSocket()).toBe(true)
    const end = await startClient(client.path, path, ['run', 'busybox']).end
    expect(end.status).toBe(125)
    expect(end.stderr).toContain('(HW_DAEMON_DOWN)')
    await fake.stop()
  })

  it('is the refusal of a daemon that does not upgrade', async () => {
    const body = JSON.stringify({ code: 'HW_CALLER_NAMESPACE', message: 'you are elsewhere' })
    const { end } = await start(
      {
        upgrade: (_, socket) =>
          void socket.end(
            `HTTP/1.1 403 Forbidden\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
          ),
      },
      ['busybox'],
    )
    expect(await end).toMatchObject({
      status: 125,
      stderr: 'hepwrap: you are elsewhere (HW_CALLER_NAMESPACE)\n',
    })
  })

  it('is HW_DAEMON_DOWN where something else answers', async () => {
    const { end } = await start(
      { upgrade: (_, socket) => void socket.end('SSH-2.0-OpenSSH\r\n') },
      ['x'],
    )
    const { status, stderr } = await end
    expect(status).toBe(125)
    expect(stderr).toContain('(HW_DAEMON_DOWN)')
  })

  it('waits for a daemon whose queue of connections is full', async () => {
    const script = `
      const server = require('net').createServer((socket) => {
        socket.on('error', () => {}).once('data', () => socket.end(Buffer.concat([
          Buffer.from('HTTP/1.1 101 Switching Protocols\\r\\n\\r\\n'),
          Buffer.from([${FRAME.close}, 0, 0, 0, 0, 0, 0, 10]), Buffer.from('{"exit":3}')])))
      })
      server.listen({ path: process.argv[1], backlog: 1 }, () => console.log('ready'))`
    const path = join(directory, 'busy.sock')
    const server = spawn(process.execPath, ['-e', script, path])
    await once(server.stdout, 'data')
    server.kill('SIGSTOP')
    const fillers = Array.from({ length: 5 }, () => connect(path).on('error', () => undefined))
    const { end } = startClient(client.path, path, ['run', 'busybox'])
    let isEarly = true
    void end.then(() => (isEarly = false))
    await new Promise((resolve) => setTimeout(resolve, 400))
    const wasEarly = isEarly
    server.kill('SIGCONT')
    expect(await end).toMatchObject({ status: 3, stderr: '' })
    expect(wasEarly).toBe(true)
    fillers.forEach((filler) => filler.destroy())
    server.kill('SIGKILL')
  })

  it('reads --config for the socket, before the verb and behind it', async () => {
    const fake = await startFakeDaemon({ run: (run) => run.close({ exit: 7 }) })
    const config = join(directory, 'hepwrapd.toml')
    writeFileSync(config, `[node]\ncluster = "x"\nsocket = "${fake.socketPath}"\n`)
    for (const args of [
      ['--config', config, 'run', 'x'],
      ['run', `--config=${config}`, 'x'],
    ]) {
      const end = await startClient(client.path, '/nonexistent', args).end
      expect(end).toMatchObject({ status: 7, stderr: '' })
    }
    await fake.stop()
  })
})

describe('output', () => {
  it('keeps stdout and stderr apart', async () => {
    const end = await play((run) => {
      run.send(FRAME.stdout, Buffer.from('one\n'))
      run.send(FRAME.stderr, Buffer.from('two\n'))
      run.send(FRAME.stdout, Buffer.from('three'))
      run.close({ exit: 3 })
    })
    expect(end).toMatchObject({ status: 3, stderr: 'two\n' })
    expect(end.stdout.toString()).toBe('one\nthree')
  })

  it('keeps the order where both are one file', async () => {
    const path = join(directory, 'both')
    const fd = openSync(path, 'w')
    await play(
      (run) => {
        for (let i = 0; i < 2000; i++) {
          run.send(i % 2 === 0 ? FRAME.stdout : FRAME.stderr, Buffer.from(`${i}\n`))
        }
        run.close({ exit: 0 })
      },
      ['busybox'],
      { stdio: ['ignore', fd, fd] },
    )
    closeSync(fd)
    expect(readFileSync(path, 'utf8')).toBe(
      Array.from({ length: 2000 }, (_, i) => `${i}\n`).join(''),
    )
  })

  it('brings 128 MB of every byte value through a pipe, to the last', async () => {
    const block = Buffer.alloc(8 + 32 * 1024)
    for (let i = 8; i < block.length; i++) block[i] = (i * 7 + (i >> 8)) & 0xff
    block.writeUInt8(FRAME.stdout, 0)
    block.writeUInt32BE(32 * 1024, 4)
    const many = Buffer.concat(Array<Buffer>(64).fill(block))
    const { child, end } = await start(
      {
        run: async (run) => {
          for (let i = 0; i < 64; i++) await writeAll(run, many)
          run.close({ exit: 5 })
        },
      },
      ['busybox'],
      { holdStdout: true },
    )
    const seen = createHash('sha256')
    let bytes = 0
    child.stdout?.on('data', (chunk: Buffer) => {
      seen.update(chunk)
      bytes += chunk.length
    })
    expect((await end).status).toBe(5)
    const wanted = createHash('sha256')
    for (let i = 0; i < 64 * 64; i++) wanted.update(block.subarray(8))
    expect(bytes).toBe(128 * 1024 * 1024)
    expect(seen.digest('hex')).toBe(wanted.digest('hex'))
  }, 30_000)

  it('waits for a slow reader, holds the daemon back, and loses nothing', async () => {
    const piece = Buffer.alloc(1024 * 1024, 'x')
    let sent = 0
    let held = 0
    const { child, end } = await start(
      {
        run: async (run) => {
          for (; sent < 24; sent++) {
            run.send(FRAME.stdout, piece)
            if (run.socket.writableNeedDrain) await once(run.socket, 'drain')
          }
          run.close({ exit: 0 })
        },
      },
      ['busybox'],
      { holdStdout: true },
    )
    await new Promise((resolve) => setTimeout(resolve, 500))
    held = sent
    let bytes = 0
    child.stdout?.on('data', (chunk: Buffer) => (bytes += chunk.length))
    expect((await end).status).toBe(0)
    expect(held).toBeLessThan(6)
    expect(bytes).toBe(24 * piece.length)
  })

  it('writes all to a pipe that somebody made non-blocking', async () => {
    const path = makeFifo()
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const writer = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
    const { end } = await start(
      {
        run: (run) => {
          for (let i = 0; i < 40; i++) run.send(FRAME.stdout, Buffer.alloc(100_000, i))
          run.close({ exit: 4 })
        },
      },
      ['busybox'],
      { stdio: ['ignore', writer, 'pipe'] },
    )
    closeSync(writer)
    await new Promise((resolve) => setTimeout(resolve, 300))
    let bytes = 0
    for await (const chunk of new Socket({ fd: reader })) bytes += (chunk as Buffer).length
    expect(bytes).toBe(4_000_000)
    expect(await end).toMatchObject({ status: 4, stderr: '' })
  })

  it('ends as SIGPIPE would where the reader goes away, and the daemon sees us gone', async () => {
    let isGone = false
    const { child, end } = await start(
      {
        run: async (run) => {
          void run.gone.then(() => (isGone = true))
          while (!run.socket.destroyed) {
            run.send(FRAME.stdout, Buffer.alloc(64 * 1024))
            await new Promise((resolve) => setTimeout(resolve, 1))
          }
        },
      },
      ['busybox'],
      { holdStdout: true },
    )
    child.stdout?.once('data', () => child.stdout?.destroy())
    expect(await end).toMatchObject({ status: 141, stderr: '' })
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(isGone).toBe(true)
  })

  it('says that the output cannot be written', async () => {
    const fd = openSync('/dev/full', 'w')
    const end = await play(
      (run) => {
        run.send(FRAME.stdout, Buffer.from('x'))
        run.close({ exit: 0 })
      },
      ['busybox'],
      { stdio: ['ignore', fd, 'pipe'] },
    )
    closeSync(fd)
    expect(end.status).toBe(125)
    expect(end.stderr).toContain('ENOSPC')
  })

  it('says nothing of its own on stdout, not even with --verbose', async () => {
    const end = await play(
      (run) => {
        run.event({ kind: 'opened', run_id: '0'.repeat(32) })
        run.event({ kind: 'pull', image: 'busybox', status: 'Downloading', current: 1, total: 2 })
        run.event({ kind: 'step', name: 'cgroup', ms: 1.6 })
        run.send(FRAME.stdout, Buffer.from('out'))
        run.close({ exit: 0 })
      },
      ['-V', 'busybox'],
    )
    expect(end.stdout.toString()).toBe('out')
    expect(end.stderr).toMatch(
      /^hepwrap: connected \d+ ms\nhepwrap: accepted \d+ ms\nhepwrap: cgroup 2 ms\n$/,
    )
  })
})

describe('input', () => {
  it('is not read without -i', async () => {
    const end = await play(
      async (run) => {
        await new Promise((resolve) => setTimeout(resolve, 100))
        run.close({ exit: run.frames.length })
      },
      ['busybox'],
      { stdio: [openSync('/dev/zero', 'r'), 'pipe', 'pipe'] },
    )
    expect(end.status).toBe(0)
  })

  it('reaches the container whole from a pipe, with its end', async () => {
    const bytes = Buffer.alloc(5_000_001, 'stdin of a run ')
    let got: Buffer = Buffer.alloc(0)
    const { child, end } = await start(
      {
        run: async (run) => {
          await run.until(() => run.frames.some(({ payload }) => payload.length === 0))
          got = run.stdin()
          run.close({ exit: 0 })
        },
      },
      ['-i', 'busybox'],
      { stdio: ['pipe', 'pipe', 'pipe'] },
    )
    child.stdin?.end(bytes)
    expect(await end).toMatchObject({ status: 0, stderr: '' })
    expect(got.equals(bytes)).toBe(true)
  })

  it.each(['file', 'null device', 'shell pipe'])(
    'reaches the container from a %s',
    async (kind) => {
      const path = join(directory, 'input')
      const text = kind === 'null device' ? '' : 'some input\n'.repeat(100_000)
      writeFileSync(path, text)
      daemon = await startFakeDaemon({
        run: async (run) => {
          await run.until(() => run.frames.at(-1)?.payload.length === 0)
          run.send(FRAME.stdout, run.stdin())
          run.close({ exit: 0 })
        },
      })
      const run = `"${process.execPath}" "${client.path}" run -i busybox`
      const line = {
        file: `${run} < ${path}`,
        'null device': `${run} < /dev/null`,
        'shell pipe': `cat ${path} | ${run}`,
      }[kind]
      const child = spawn('/bin/sh', ['-c', line ?? 'false'], {
        env: { HOME: '/', PATH: process.env['PATH'], HEPWRAP_SOCKET: daemon.socketPath },
      })
      let seen = ''
      child.stdout.on('data', (chunk: Buffer) => (seen += chunk.toString()))
      const [status] = (await once(child, 'close')) as [number]
      expect(status).toBe(0)
      expect(seen === text).toBe(true)
    },
  )

  it('leaves a pipe that others share blocking', async () => {
    const fd = openSync(makeFifo(), constants.O_RDWR)
    const flags = () =>
      Number.parseInt(
        /flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '',
        8,
      )
    let during = 0
    const end = await play(
      async (run) => {
        writeSync(fd, 'word')
        await run.until(() => run.stdin().length === 4)
        during = flags()
        run.close({ exit: 0 })
      },
      ['-i', 'busybox'],
      { stdio: [fd, 'pipe', 'pipe'] },
    )
    expect(end.status).toBe(0)
    expect([during & constants.O_NONBLOCK, flags() & constants.O_NONBLOCK]).toEqual([0, 0])
    closeSync(fd)
  })

  it('does not keep an ended run waiting for stdin', async () => {
    const { child, end } = await start(
      { run: (run) => run.close({ exit: 9 }) },
      ['-i', 'busybox'],
      {
        stdio: ['pipe', 'pipe', 'pipe'],
      },
    )
    child.stdin?.on('error', () => undefined)
    expect((await end).status).toBe(9)
  })

  it('holds the writer back while the container does not read', async () => {
    const { child, end } = await start(
      {
        run: async (run) => {
          run.socket.pause()
          await new Promise((resolve) => setTimeout(resolve, 500))
          run.close({ exit: 0 })
        },
      },
      ['-i', 'busybox'],
      { stdio: ['pipe', 'pipe', 'pipe'] },
    )
    let taken = 0
    const stdin = child.stdin
    stdin?.on('error', () => undefined)
    const piece = Buffer.alloc(256 * 1024)
    const feed = () =>
      stdin?.write(piece, (error) => {
        if (error) return
        taken += piece.length
        feed()
      })
    feed()
    await end
    expect(taken).toBeGreaterThan(0)
    expect(taken).toBeLessThan(8 * 1024 * 1024)
  })
})

describe('signals', () => {
  const names = [
    'SIGTERM',
    'SIGINT',
    'SIGHUP',
    'SIGQUIT',
    'SIGUSR1',
    'SIGUSR2',
    'SIGCONT',
    'SIGTSTP',
    'SIGWINCH',
  ] as const

  it('are all passed on, in order, and end nothing', async () => {
    const { child, end } = await start(
      {
        run: async (run) => {
          for (const [index, name] of names.entries()) {
            child.kill(name)
            await run.until(() => run.signals().length > index)
          }
          run.send(FRAME.stdout, Buffer.from(run.signals().join(' ')))
          run.close({ exit: 0 })
        },
      },
      ['busybox'],
    )
    const { status, stdout, stderr } = await end
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout.toString()).toBe(names.join(' '))
  })

  it('go past stdin that clogs the connection', async () => {
    const asked: string[] = []
    let told: () => void = () => undefined
    const killed = new Promise<void>((resolve) => (told = resolve))
    const runId = 'ab'.repeat(16)
    const { child, end } = await start(
      {
        run: async (run) => {
          run.event({ kind: 'opened', run_id: runId })
          run.socket.pause()
          await new Promise((resolve) => setTimeout(resolve, 400))
          child.kill('SIGTERM')
          await killed
          run.close({ exit: 143 })
        },
        http: (request, reply) => {
          let body = ''
          request.on('data', (chunk: Buffer) => (body += chunk.toString()))
          request.on('end', () => {
            asked.push(`${String(request.method)} ${String(request.url)} ${body}`)
            reply.end('{}')
            told()
          })
        },
      },
      ['-i', 'busybox'],
      { stdio: [openSync('/dev/zero', 'r'), 'pipe', 'pipe'] },
    )
    expect((await end).status).toBe(143)
    expect(asked).toEqual([`POST /v1/containers/${runId}/kill {"signal":"SIGTERM"}`])
  })

  it('are passed on while stdout is blocked', async () => {
    const { child, end } = await start(
      {
        run: async (run) => {
          for (let i = 0; i < 20; i++) run.send(FRAME.stdout, Buffer.alloc(1024 * 1024))
          await new Promise((resolve) => setTimeout(resolve, 300))
          child.kill('SIGUSR2')
          await run.until(() => run.signals().length === 1)
          child.stdout?.resume()
          run.close({ exit: 0 })
        },
      },
      ['busybox'],
      { holdStdout: true },
    )
    expect((await end).status).toBe(0)
  })
})

// `script` gives a command a terminal of its own and copies its stdin and stdout.
describe('a terminal', () => {
  const onTerminal = async (
    run: (run: PlayedRun) => void | Promise<void>,
    args: string,
    after = '',
  ) => {
    const fake = await startFakeDaemon({ run })
    daemon = fake
    const command = `stty rows 33 cols 99; "${process.execPath}" "${client.path}" run ${args}; echo "[$?]"; ${after}`
    const child = spawn('script', ['-qec', command, '/dev/null'], {
      env: {
        PATH: process.env['PATH'],
        HOME: '/',
        HEPWRAP_SOCKET: fake.socketPath,
        SHELL: '/bin/sh',
      },
    })
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()))
    const end = once(child, 'close').then(() => {
      expect(text).not.toMatch(/[^\r]\n/)
      return text.replaceAll('\r\n', '\n')
    })
    return { child, end }
  }

  it('tells its size, is raw during the run and as before afterwards', async () => {
    let terminal: PlayedRun['request']['terminal']
    const { child, end } = await onTerminal(
      async (run) => {
        terminal = run.request.terminal
        run.send(FRAME.stdout, Buffer.from('ready '))
        await run.until(() => run.stdin().length === 3)
        run.send(FRAME.stdout, Buffer.from(`got ${run.stdin().toString('hex')} `))
        run.close({ exit: 6 })
      },
      '-it busybox',
      'stty -a | grep -o -e "-\\?icanon" -e " -\\?echo "',
    )
    child.stdout.once('data', () => child.stdin.write('a\u0003\r'))
    expect(await end).toBe('ready got 61030d [6]\nicanon\n echo \n')
    expect(terminal).toEqual({ rows: 33, columns: 99 })
  })

  it('is as before when the last line is said', async () => {
    const { end } = await onTerminal(
      (run) => run.close({ exit: 125, code: 'HW_OUTSIDE_JOB', message: 'no' }),
      '-it busybox',
    )
    // Line ends that the terminal made: raw it would have left them alone.
    expect(await end).toBe('hepwrap: no (HW_OUTSIDE_JOB)\n[125]\n')
  })

  it('turns Ctrl-C into a signal while the container has not spoken', async () => {
    const { child, end } = await onTerminal(async (run) => {
      setTimeout(() => child.stdin.write('\u0003'), 100)
      await run.until(() => run.signals().length > 0)
      run.close({ exit: run.signals().join() === 'SIGINT' && run.stdin().length === 0 ? 130 : 1 })
    }, '-it busybox')
    expect(await end).toBe('[130]\n')
  })

  it('sends its new size', async () => {
    // stty changes one after the other, and each is a SIGWINCH.
    const wanted = '{"rows":12,"columns":34}'
    const { end } = await onTerminal(async (run) => {
      run.send(FRAME.stdout, Buffer.from('x'))
      const isTold = () =>
        run.frames.some(
          ({ type, payload }) => type === FRAME.resize && payload.toString() === wanted,
        )
      await run.until(isTold)
      run.close({ exit: 0 })
    }, '-t busybox & sleep 0.4; stty rows 12 cols 34; kill -WINCH $!; wait $!')
    expect(await end).toBe('x[0]\n')
  })

  it('is demanded by -it', async () => {
    const end = await play(() => undefined, ['-it', 'busybox'], { stdio: ['pipe', 'pipe', 'pipe'] })
    expect(end.status).toBe(125)
    expect(end.stderr).toBe(
      'hepwrap: with -it the standard input must be a terminal; leave out -t (HW_USAGE)\n',
    )
  })

  it('shows how a pull goes on one line that it removes again', async () => {
    const { end } = await onTerminal(async (run) => {
      run.event({ kind: 'pull', image: 'a/b', status: 'Downloading', current: 512, total: 2048 })
      await new Promise((resolve) => setTimeout(resolve, 100))
      run.send(FRAME.stdout, Buffer.from('out\n'))
      run.close({ exit: 0 })
    }, 'busybox')
    expect(await end).toBe(
      '\r\u001b[Khepwrap: pulling a/b: Downloading 512 of 2.0K\r\u001b[Kout\n[0]\n',
    )
  })
})

describe('what the client loads', () => {
  it('is no package but the TOML parser, only for --config, and koffi, only for -it', () => {
    const granted: Record<string, string> = {
      'cli/configured-socket.ts': 'smol-toml',
      'kernel/terminal.ts': 'koffi',
      'kernel/libc.ts': 'koffi',
    }
    for (const name of [...client.sources.run, ...client.sources.verbs]) {
      const source = readFileSync(join('src', name), 'utf8')
      const packages = [
        ...source.matchAll(/^(?:import|export) (?!type)[^']* from '([^.][^']*)'$/gm),
      ]
        .map((match) => match[1] ?? '')
        .filter((imported) => !imported.startsWith('node:'))
      expect(packages, name).toEqual(name in granted ? [granted[name]] : [])
    }
    for (const name of Object.keys(granted)) expect(client.sources.run).not.toContain(name)
  })

  it('is, for run, none of the other verbs', () => {
    expect(client.sources.run).toContain('cli/run-session.ts')
    for (const verb of [
      'acct',
      'ps',
      'images',
      'job',
      'doctor',
      'explain',
      'stop',
      'record-fields',
    ]) {
      expect(client.sources.run).not.toContain(`cli/${verb}.ts`)
      expect(client.sources.verbs).toContain(`cli/${verb}.ts`)
    }
  })
})
