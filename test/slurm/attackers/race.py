# race.py KIND OPEN TRAP SPOT COUNT FILE: while hepwrapd stages a request's mounts, what their descriptors or names mean changes.
#   descriptor  number 100 is now OPEN, now TRAP (dup2)
#   name        SPOT, a descriptor's own name, is moved away, deleted and made anew, a link to TRAP in between
#   link        SPOT is now a link to OPEN, now to TRAP, while the sources are opened
# FILE holds the request with COUNT mounts, "@" where their descriptors belong. Prints the answer.
import os, socket, sys, threading

kind, good, trap, spot, count, file = sys.argv[1:7]
UPGRADE = b'POST /v1/runs HTTP/1.1\r\nHost: hepwrap\r\nConnection: Upgrade\r\nUpgrade: hepwrap\r\n\r\n'
running, turns = True, 0

def swap_descriptor():
    fds = os.open(good, os.O_PATH), os.open(trap, os.O_PATH)
    while running: yield [os.dup2(fd, 100) for fd in fds]

def swap_link():
    while running:
        for target in good, trap:
            os.symlink(target, spot + '.new')
            os.rename(spot + '.new', spot)
        yield

def swap_name():
    while running:
        os.rename(spot, spot + '.away')
        os.symlink(trap, spot)
        os.unlink(spot)
        os.mkdir(spot)
        os.rmdir(spot)
        os.rename(spot + '.away', spot)
        yield

SWAP = {'descriptor': swap_descriptor, 'link': swap_link, 'name': swap_name}[kind]

def swap():
    global turns
    for _ in SWAP(): turns += 1

# Descriptors are a process's own, so they are swapped by a thread; names by a process, which is much faster.
def swap_apart(begun, ended):
    for count, _ in enumerate(SWAP()):
        if count == 0: os.write(begun, b'x')
        if os.path.exists(spot + '.stop'): break
    os.write(ended, b'%d' % (count + 1))
    os._exit(0)

def open_source():
    while True:
        try: return 100 if kind == 'descriptor' else os.open(spot, os.O_PATH)
        except FileNotFoundError: pass

with open(file, 'rb') as request: body = request.read()
sources = [open_source() for _ in range(int(count))] if kind == 'name' else []
if kind == 'descriptor':
    swapper = threading.Thread(target=swap)
    swapper.start()
    while not turns: pass
else:
    (begun, begin), (ended, end) = os.pipe(), os.pipe()
    if os.fork() == 0: swap_apart(begin, end)
    os.read(begun, 1)
for fd in sources or [open_source() for _ in range(int(count))]:
    body = body.replace(b'"fd":"@"', b'"fd":%d' % fd, 1)
daemon = socket.socket(socket.AF_UNIX)
daemon.connect('/run/hepwrap/hepwrapd.sock')
daemon.sendall(UPGRADE + bytes([16, 0, 0, 0]) + len(body).to_bytes(4, 'big') + body)
daemon.settimeout(60)
while data := daemon.recv(65536): os.write(1, data)
if kind == 'descriptor':
    running = False
    swapper.join()
else:
    open(spot + '.stop', 'w').close()
    turns = int(os.read(ended, 20))
    os.unlink(spot + '.stop')
print('turns', turns)
