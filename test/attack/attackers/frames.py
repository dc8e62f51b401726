# frames.py WAY SECONDS: a run by hand. stdin: "LENGTH\n", the bytes that begin the run, and what else is sent once the first
# output of the command has come. What comes back goes to stdout; ends when the daemon closes, or after SECONDS.
#   whole    the rest at once
#   bytes    everything, also the beginning, a byte at a time
#   never    the rest, and then nothing is read for SECONDS
#   leave    hangs up at once with everything unread
#   oob      with an out-of-band byte between any two (MSG_OOB)
#   rights   with as many descriptors as go beside each byte (SCM_RIGHTS)
import array, os, socket, sys, time

way, seconds = sys.argv[1], float(sys.argv[2])
daemon = socket.socket(socket.AF_UNIX)
daemon.connect(os.environ.get('HEPWRAP_SOCKET', '/run/hepwrap/hepwrapd.sock'))
begin = sys.stdin.buffer.read(int(sys.stdin.buffer.readline()))
rest = sys.stdin.buffer.read()

def out_of_band(byte):
    try: daemon.send(byte, socket.MSG_OOB)
    except OSError: pass # a kernel without it

def descriptors(data):
    fds = array.array('i', [os.open('/dev/null', os.O_RDONLY) for _ in range(200)])
    daemon.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    for fd in fds: os.close(fd)

def send(data):
    step = {'bytes': 1, 'oob': 40, 'rights': 40}.get(way, len(data) or 1)
    for at in range(0, len(data), step):
        piece = data[at:at + step]
        if way == 'rights': descriptors(piece)
        else: daemon.sendall(piece)
        if way == 'oob': out_of_band(b'!')

answer = b''
try:
    send(begin)
    daemon.settimeout(seconds)
    while b'running' not in answer:
        data = daemon.recv(65536)
        if not data: break
        answer += data
    send(rest)
    if way == 'leave': os._exit(0)
    if way == 'never': time.sleep(seconds)
    while data := daemon.recv(65536): answer += data
    answer += b'\nclosed'
except TimeoutError: answer += b'\nopen'
except OSError: answer += b'\nclosed'
sys.stdout.buffer.write(answer)
