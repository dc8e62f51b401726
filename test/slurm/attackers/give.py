# give.py SOCKET PATH [read]: gives a descriptor of PATH (O_PATH, or open for reading) to whoever connects to SOCKET, of any
# user, until stdin ends. Says "ready".
import os, socket, sys, threading

meeting = socket.socket(socket.AF_UNIX)
meeting.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
meeting.listen()
fd = os.open(sys.argv[2], os.O_RDONLY if 'read' in sys.argv else os.O_PATH)

def give():
    while True:
        peer, _ = meeting.accept()
        socket.send_fds(peer, [b'x'], [fd])
        peer.close()

threading.Thread(target=give, daemon=True).start()
print('ready', flush=True)
sys.stdin.read()
os.unlink(sys.argv[1])
