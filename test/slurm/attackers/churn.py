# churn.py SECONDS: 32 threads connect to hepwrapd and hang up, again and again; says how often.
import os, socket, sys, threading, time

end, count = time.monotonic() + float(sys.argv[1]), [0]

def loop():
    while time.monotonic() < end:
        with socket.socket(socket.AF_UNIX) as daemon:
            try: daemon.connect(os.environ.get('HEPWRAP_SOCKET', '/run/hepwrap/hepwrapd.sock'))
            except OSError: pass
        count[0] += 1

threads = [threading.Thread(target=loop) for _ in range(32)]
for thread in threads: thread.start()
print('begun', flush=True)
for thread in threads: thread.join()
print(count[0], flush=True)
