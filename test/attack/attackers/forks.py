# forks.py KIND COUNT: from within a container.
#   bomb     every child forks as well, until nothing more can
#   zombies  COUNT grandchildren whose parents end before them, and that end at once
#   files    opens files and sockets until nothing more can, and holds them
# Says "running", and waits for the end of stdin.
import os, socket, sys, time

kind, count = sys.argv[1], int(sys.argv[2])
print('running', flush=True)
if kind == 'bomb':
    parent = os.getpid()
    end = time.monotonic() + count
    while time.monotonic() < end:
        try: os.fork()
        except OSError: time.sleep(0.01)
    if os.getpid() != parent: os._exit(0)
elif kind == 'zombies':
    for _ in range(count):
        child = os.fork()
        if child == 0:
            if os.fork() == 0: time.sleep(0.01)
            os._exit(0)
        os.waitpid(child, 0)
elif kind == 'files':
    held = []
    try:
        while len(held) < count:
            held += socket.socketpair()
            held.append(os.open('/dev/null', os.O_RDONLY))
    except OSError: pass
print('done', flush=True)
sys.stdin.read()
