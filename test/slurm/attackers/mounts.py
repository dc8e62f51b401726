# mounts.py: asks for one run after another with mounts whose sources no hepwrap client would open.
# stdin: a line for each, in hex words: the request's frame, with "fd":"@0" where the first descriptor belongs, and so on;
# then for each mount how to open it and its path. stdout: a line each: why the kernel did not let us open (or "-"), and what
# the daemon answered, in hex. (The world's Python has no json.)
import errno, os, select, socket, sys

UPGRADE = b'POST /v1/runs HTTP/1.1\r\nHost: hepwrap\r\nConnection: Upgrade\r\nUpgrade: hepwrap\r\n\r\n'
kept = []

def gone(path, again):
    os.mkdir(path)
    fd = os.open(path, os.O_PATH)
    os.rmdir(path)
    if again: os.mkdir(path)
    return fd

def gone_file(path):
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.unlink(path)
    return fd

def received(path):
    with socket.socket(socket.AF_UNIX) as meeting:
        meeting.settimeout(10)
        meeting.connect(path)
        return socket.recv_fds(meeting, 1, 1)[1][0]

def keep(open_file):
    kept.append(open_file)
    return open_file

def bound(path):
    server = keep(socket.socket(socket.AF_UNIX))
    server.bind(path)
    return os.open(path, os.O_PATH)

OPEN = {
    'path': lambda path: os.open(path, os.O_PATH),
    'link': lambda path: os.open(path, os.O_PATH | os.O_NOFOLLOW),
    'read': lambda path: os.open(path, os.O_RDONLY | os.O_NONBLOCK),
    'gone': lambda path: gone(path, False),
    'again': lambda path: gone(path, True),
    'gone-file': gone_file,
    'tmpfile': lambda path: os.open(path, os.O_TMPFILE | os.O_RDWR, 0o600),
    'pipe': lambda _: os.pipe()[0],
    'socket': lambda _: socket.socket(socket.AF_UNIX).detach(),
    'bound': bound,
    'memfd': lambda _: os.memfd_create('memory'),
    'eventfd': lambda _: os.eventfd(0),
    'epoll': lambda _: os.dup(keep(select.epoll()).fileno()),
    'pidfd': lambda _: os.pidfd_open(os.getpid()),
    'received': received,
    'own': lambda path: os.open('/proc/self/fd/%d' % os.open(path, os.O_PATH), os.O_PATH),
}

def attempt(body, sources):
    daemon = socket.socket(socket.AF_UNIX)
    opened, fds = [], []
    for index, (how, path) in enumerate(sources):
        try:
            fds.append(daemon.fileno() if how == 'daemon' else OPEN[how](path))
            opened.append('-')
            field = b'"fd":%d' % fds[-1]
        except OSError as error:
            opened.append(errno.errorcode[error.errno])
            field = b'"error":"%s"' % opened[-1].encode()
        body = body.replace(b'"fd":"@%d"' % index, field)
    daemon.connect(os.environ.get('HEPWRAP_SOCKET', '/run/hepwrap/hepwrapd.sock'))
    daemon.sendall(UPGRADE + bytes([16, 0, 0, 0]) + len(body).to_bytes(4, 'big') + body)
    daemon.settimeout(60)
    answer = b''
    while more := daemon.recv(65536): answer += more
    for fd in fds:
        if fd != daemon.fileno(): os.close(fd)
    print(*opened, answer.hex(), flush=True)

for line in sys.stdin:
    body, *words = [bytes.fromhex(word) for word in line.split(' ')]
    sources = [os.fsdecode(word) for word in words]
    attempt(body, list(zip(sources[::2], sources[1::2])))
