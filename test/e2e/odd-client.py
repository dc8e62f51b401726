"""A client that is none of hepwrap's: sends to the daemon what it reads on stdin, waits for the payload's "ready", then
   close     closes the connection and lives on
   bequeath  leaves the connection to a child and dies
"""
import os
import socket
import sys
import time

request = sys.stdin.buffer.read()
daemon = socket.socket(socket.AF_UNIX)
daemon.connect(os.environ.get("HEPWRAP_SOCKET", "/run/hepwrap/hepwrapd.sock"))
daemon.sendall(request)
seen = b""
while b"ready" not in seen:
    chunk = daemon.recv(65536)
    if not chunk:
        sys.exit("the daemon closed: %r" % seen)
    seen += chunk
if sys.argv[1] == "close":
    daemon.close()
elif os.fork() > 0:
    os._exit(0)
print("holder", os.getpid(), flush=True)
time.sleep(60)
