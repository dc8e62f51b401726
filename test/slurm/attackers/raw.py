# raw.py [SECONDS] [DRIP]: connects to hepwrapd and sends all of stdin, then DRIP more bytes each second.
# What comes back goes to stdout; the last line of stderr is "closed MS", or "open MS" when SECONDS are over.
import os, select, socket, sys, time

limit = float(sys.argv[1]) if len(sys.argv) > 1 else 20
drip = int(sys.argv[2]) if len(sys.argv) > 2 else 0
began = time.monotonic()
daemon = socket.socket(socket.AF_UNIX)
daemon.connect(os.environ.get('HEPWRAP_SOCKET', '/run/hepwrap/hepwrapd.sock'))
left = sys.stdin.buffer.read()
next_drip = began + 1
state = 'open'
while time.monotonic() - began < limit:
    readable, writable, _ = select.select([daemon], [daemon] if left else [], [], 0.1)
    if drip and not left and time.monotonic() > next_drip:
        left, next_drip = b'x' * drip, time.monotonic() + 1
    try:
        if readable:
            data = daemon.recv(65536)
            if not data:
                state = 'closed'
                break
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        if writable:
            left = left[daemon.send(left):]
    except (BrokenPipeError, ConnectionResetError):
        left, drip = b'', 0
        if not readable: continue
        state = 'closed'
        break
print(state, round((time.monotonic() - began) * 1000), file=sys.stderr)
