# raw.py SECONDS: sends byte strings to hepwrapd, each on a connection of its own, all at once, and waits until it closes them.
# stdin: for each "LENGTH DRIP\n" and its bytes; DRIP more bytes follow each second, or with -1 the end of what is sent.
# stdout: for each in turn "LENGTH STATE MS\n" and what came back; STATE is "closed", or "open" when SECONDS are over.
import os, select, socket, sys, threading, time

def send(message, drip, limit, answers, index):
    began = time.monotonic()
    daemon = socket.socket(socket.AF_UNIX)
    daemon.connect(os.environ.get('HEPWRAP_SOCKET', '/run/hepwrap/hepwrapd.sock'))
    left, answer, state, next_drip = message, b'', b'open', began + 1
    while time.monotonic() - began < limit:
        readable, writable, _ = select.select([daemon], [daemon] if left else [], [], 0.1)
        if drip < 0 and not left:
            daemon.shutdown(socket.SHUT_WR)
            drip = 0
        if drip and not left and time.monotonic() > next_drip:
            left, next_drip = b'x' * drip, time.monotonic() + 1
        try:
            if readable:
                data = daemon.recv(65536)
                if not data:
                    state = b'closed'
                    break
                answer += data
            if writable:
                left = left[daemon.send(left):]
        except (BrokenPipeError, ConnectionResetError):
            left, drip = b'', 0
            if not readable: continue
            state = b'closed'
            break
    answers[index] = (answer, state, round((time.monotonic() - began) * 1000))

answers, threads = {}, []
while header := sys.stdin.buffer.readline():
    length, drip = map(int, header.split())
    arguments = sys.stdin.buffer.read(length), drip, float(sys.argv[1]), answers, len(threads)
    threads.append(threading.Thread(target=send, args=arguments))
for thread in threads: thread.start()
for thread in threads: thread.join()
for index in range(len(threads)):
    answer, state, ms = answers[index]
    sys.stdout.buffer.write(b'%d %s %d\n%s' % (len(answer), state, ms, answer))
