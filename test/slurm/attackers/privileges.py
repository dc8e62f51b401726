# privileges.py PID: tries what only a privileged process may do; prints each attempt and its errno.
# Without ctypes (an image may lack it): what Python has no function for is done by a program.
import errno, glob, os, re, signal, socket, subprocess, sys

SAID = {'Operation not permitted': 'EPERM', 'Permission denied': 'EACCES', 'permission denied': 'EACCES',
        'Read-only file system': 'EROFS', 'must be superuser': 'EPERM', 'No such file': 'ENOENT',
        'not permitted': 'EPERM', 'Invalid argument': 'EINVAL', 'busy': 'EBUSY'}

def program(*argv):
    ended = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if ended.returncode == 0: return
    for words, name in SAID.items():
        if words in ended.stdout: raise OSError(getattr(errno, name), ended.stdout)
    raise RuntimeError(ended.stdout.strip().replace(' ', '_') or 'status_%d' % ended.returncode)

def write(path, text):
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, text.encode())
    os.close(fd)

def low_port():
    for kind in socket.AF_INET, socket.AF_INET6:
        with socket.socket(kind, socket.SOCK_STREAM) as listener: listener.bind(('', 81))

def connect(path):
    with socket.socket(socket.AF_UNIX) as client: client.connect(path)

def ours(name):
    return glob.glob('/.hepwrap*/' + name)[0]

def host_process():
    os.kill(int(sys.argv[1]), 0)

def own_cgroup():
    text = open('/proc/self/cgroup').read()
    v1 = re.search(r'^\d+:memory:(.*)$', text, re.M)
    path = v1.group(1) if v1 else re.search(r'^0::(.*)$', text, re.M).group(1)
    root, name, value = ('/sys/fs/cgroup/memory', 'memory.limit_in_bytes', '-1') if v1 else ('/sys/fs/cgroup', 'memory.max', 'max')
    # On v2 the limit is the task's, one above: what is seen of the tree is all of it, or the engine's part.
    for base in root + path, root + os.path.dirname(path), root:
        if os.path.exists(base + '/' + name): return write(base + '/' + name, value)
    for base in root + path, root:
        if os.path.exists(base): return write(base + '/cgroup.procs', '0')
    raise FileNotFoundError(errno.ENOENT, path)

ATTEMPTS = {
    'mknod': lambda: os.mknod('/tmp/null', 0o20666, os.makedev(1, 3)),
    'mknod-block': lambda: os.mknod('/tmp/disk', 0o60666, os.makedev(254, 0)),
    'low-port': low_port,
    'remount-bind': lambda: program('/busybox', 'mount', '-o', 'remount,bind,rw', '/read-only'),
    'write-read-only': lambda: write('/read-only/file', 'changed'),
    'remount-root': lambda: program('/busybox', 'mount', '-o', 'remount,suid,dev', '/'),
    'mount-proc': lambda: program('/busybox', 'mount', '-t', 'proc', 'proc', '/mnt'),
    'umount': lambda: program('/busybox', 'umount', '/attackers'),
    'chown': lambda: (open('/tmp/mine', 'w').close(), os.chown('/tmp/mine', 0, 0)),
    'unshare-user': lambda: program('unshare', '--user', '--map-root-user', 'true'),
    'unshare-mount': lambda: program('unshare', '--mount', 'true'),
    'setns': lambda: program('nsenter', '--mount', '--target', '1', 'true'),
    'raw-socket': lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close(),
    'sethostname': lambda: socket.sethostname('stolen'),
    'nice': lambda: os.setpriority(os.PRIO_PROCESS, 0, -5),
    'oom-score': lambda: write('/proc/self/oom_score_adj', '-1000'),
    'write-sysctl': lambda: write('/proc/sys/kernel/domainname', 'stolen'),
    'write-cgroup': own_cgroup,
    'read-init-memory': lambda: os.close(os.open('/proc/1/mem', os.O_RDONLY)),
    'list-init-fds': lambda: os.listdir('/proc/1/fd'),
    'replace-init': lambda: os.rename(ours('init'), '/tmp/init'),
    'open-gate': lambda: connect(ours('gate')),
    'kill-host': host_process,
    # These change who we are, so they come last.
    'chroot': lambda: os.chroot('/tmp'),
    'setgroups': lambda: os.setgroups([0]),
    'setegid': lambda: os.setegid(0) if os.getegid() else os.setegid(1),
    'seteuid': lambda: (os.seteuid(0) if os.geteuid() else os.seteuid(1)),
    'setuid': lambda: os.setuid(0) if os.getuid() else None,
}

for name, attempt in ATTEMPTS.items():
    try:
        attempt()
        print(name, 'done')
    except OSError as error:
        print(name, errno.errorcode.get(error.errno, error.errno))
    except Exception as error:
        print(name, str(error).replace(' ', '_').replace('\n', '_'))
