# fuse.py DIR: mounts a FUSE file system of the user's there by fusermount3, says "mounted", and never answers the kernel.
import os, socket, sys

ours, theirs = socket.socketpair()
theirs.set_inheritable(True)
if os.fork() == 0:
    os.environ['_FUSE_COMMFD'] = str(theirs.fileno())
    os.execvp('fusermount3', ['fusermount3', '-o', 'fsname=hers', '--', sys.argv[1]])
_, fds, _, _ = socket.recv_fds(ours, 1, 1)
os.wait()
print('mounted', flush=True)
sys.stdin.read()
