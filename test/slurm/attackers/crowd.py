# crowd.py COUNT [BYTES]: opens that many connections to hepwrapd, sends the first BYTES of a request on each, says how
# many it has, and holds them until its stdin ends; then says how many the daemon has closed.
import os, select, socket, sys

count = int(sys.argv[1])
text = b'POST /v1/runs HTTP/1.1\r\nHost: hepwrap\r\nConnection: Upgrade\r\nUpgrade: hepwrap\r\n\r\n'
start = text[:int(sys.argv[2])] if len(sys.argv) > 2 else b''
crowd = []
for _ in range(count):
    daemon = socket.socket(socket.AF_UNIX)
    daemon.connect(os.environ.get('HEPWRAP_SOCKET', '/run/hepwrap/hepwrapd.sock'))
    try: daemon.sendall(start)
    except OSError: pass
    crowd.append(daemon)
print('open', len(crowd), flush=True)
sys.stdin.read()

def is_closed(daemon):
    daemon.setblocking(False)
    try:
        while daemon.recv(65536): pass
        return True
    except BlockingIOError: return False
    except OSError: return True

print('closed', sum(is_closed(daemon) for daemon in crowd), flush=True)
