# hand-over.py WHO [SECONDS]: one process connects to hepwrapd, another one speaks. stdin is what is said.
#   child   the connecting process ends; its child keeps the connection and speaks on
#   friend  the descriptor is passed by SCM_RIGHTS to a process of the same job, and closed here
# Prints "ended" when the daemon closes the connection; the one who connected never reads.
import array, os, socket, sys, time

who, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 20
seconds *= float(os.environ.get('HEPWRAP_TEST_PATIENCE', '1'))
words = sys.stdin.buffer.read()

def speak(daemon, lives):
    daemon.sendall(words)
    daemon.settimeout(seconds)
    try:
        while data := daemon.recv(65536):
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
            if lives and b'running' in data: os.kill(lives, 9)
        print('ended', flush=True)
    except TimeoutError: print('still open', flush=True)
    except ConnectionResetError: print('ended', flush=True)

def connect():
    daemon = socket.socket(socket.AF_UNIX)
    daemon.connect(os.environ.get('HEPWRAP_SOCKET', '/run/hepwrap/hepwrapd.sock'))
    return daemon

if who == 'child':
    ours, theirs = socket.socketpair()
    connector = os.fork()
    if connector == 0:
        daemon = connect()
        socket.send_fds(theirs, [b'x'], [daemon.fileno()])
        time.sleep(seconds) # holds no connection of its own from here, but is the one who made it
        os._exit(0)
    _, [fd], _, _ = socket.recv_fds(ours, 1, 1)
    speak(socket.socket(fileno=fd), connector)
elif who == 'friend':
    with socket.socket(socket.AF_UNIX) as meeting:
        for _ in range(200):
            try:
                meeting.connect(sys.argv[3])
                break
            except OSError: time.sleep(0.02) # not there yet, not listening, not for us
        daemon = connect()
        socket.send_fds(meeting, [b'x'], [daemon.fileno()])
        daemon.close()
        meeting.recv(1) # lives until the friend has done
elif who == 'receive':
    with socket.socket(socket.AF_UNIX) as meeting:
        meeting.bind(sys.argv[3])
        os.chmod(sys.argv[3], 0o666)
        meeting.listen()
        meeting.settimeout(seconds)
        peer, _ = meeting.accept()
        _, [fd], _, _ = socket.recv_fds(peer, 1, 1)
        speak(socket.socket(fileno=fd), 0)
