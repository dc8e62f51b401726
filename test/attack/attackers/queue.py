# queue.py COUNT SECONDS: opens COUNT connections to hepwrapd one after another, asks something on each, and says by number
# which ones have been answered, in the order of the answers. Ends when all have, or after SECONDS. A line of stdin for each
# number that shall hang up without waiting; an empty line when those are all.
import os, select, socket, sys, time

count, seconds = int(sys.argv[1]), float(sys.argv[2])
began = time.monotonic()
waiting = {}
for number in range(count):
    daemon = socket.socket(socket.AF_UNIX)
    daemon.connect(os.environ.get('HEPWRAP_SOCKET', '/run/hepwrap/hepwrapd.sock'))
    daemon.sendall(b'GET /v1/containers HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    waiting[daemon] = number
print('asked', flush=True)
for line in sys.stdin:
    if not line.strip(): break
    for daemon in [one for one in waiting if waiting[one] == int(line)]:
        waiting.pop(daemon)
        daemon.close()
while waiting and time.monotonic() - began < seconds:
    readable, _, _ = select.select(list(waiting), [], [], 0.1)
    for daemon in readable:
        if not daemon.recv(65536): continue
        print(waiting.pop(daemon), flush=True)
