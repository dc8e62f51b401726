# caller.py STEP...: a client that becomes somebody else on the way. Steps, in order:
#   connect           to hepwrapd (the descriptor survives an exec)
#   say FILE          sends what FILE holds          hear        waits for some answer
#   mark FILE         writes its pid there           await FILE  waits until it exists
#   name TEXT         calls itself so ("\n" and "\t" are meant)
#   enter DIR         makes a directory of its own in that cgroup, and goes there if it may
#   leave             forks: the parent, who connected, ends; the child goes on
#   split ARG... --   forks: the parent executes ARG...; the child goes on
#   daemonize         leaves session, process group and parent
#   listen            reads until the daemon closes; prints what it said
import os, socket, sys, time

daemon = None
steps = sys.argv[1:]

def wait_for(path):
    while not os.path.exists(path): time.sleep(0.02)

def enter(directory):
    try:
        mine = '%s/mine-%d' % (directory, os.getpid())
        os.mkdir(mine)
        for name in '/cpuset.cpus', '/cpuset.mems': # empty at first, and then nobody may go in
            if os.path.exists(directory + name):
                with open(directory + name) as given, open(mine + name, 'w') as own: own.write(given.read())
        with open(mine + '/cgroup.procs', 'w') as procs: procs.write(str(os.getpid()))
        print('entered', flush=True)
    except OSError as error: print(error.strerror, flush=True)

def split():
    end = steps.index('--')
    argv, steps[:end + 1] = steps[:end], []
    if os.fork(): os.execvp(argv[0], argv)

def daemonize():
    if os.fork(): os._exit(0)
    os.setsid()
    if os.fork(): os._exit(0)

def listen():
    daemon.settimeout(20)
    try:
        while data := daemon.recv(65536): os.write(1, data)
        os.write(1, b'\nclosed\n')
    except TimeoutError: os.write(1, b'\nopen\n')
    except OSError: os.write(1, b'\nreset\n')

while steps:
    step = steps.pop(0)
    if step == 'connect':
        daemon = socket.socket(socket.AF_UNIX)
        daemon.set_inheritable(True)
        daemon.connect('/run/hepwrap/hepwrapd.sock')
    elif step == 'say':
        with open(steps.pop(0), 'rb') as words:
            try: daemon.sendall(words.read())
            except OSError as error: print(error.strerror, flush=True)
    elif step == 'hear': daemon.recv(65536)
    elif step == 'mark':
        path = steps.pop(0)
        with open(path + '.new', 'w') as file: file.write(str(os.getpid()))
        os.rename(path + '.new', path)
    elif step == 'await': wait_for(steps.pop(0))
    elif step == 'name':
        with open('/proc/self/comm', 'w') as name: name.write(steps.pop(0).replace('\\n', '\n').replace('\\t', '\t'))
    elif step == 'enter': enter(steps.pop(0))
    elif step == 'leave':
        if os.fork(): os._exit(0)
    elif step == 'split': split()
    elif step == 'daemonize': daemonize()
    elif step == 'listen': listen()
