/*
 * attempts [-hold] [NAME[=ARGUMENT]...]: tries what only a privileged process may do and prints "NAME done" or "NAME
 * ERRNO" for each. All attempts are this process's own and undone by nothing, so that what one of them has got, an identity, a
 * namespace, an open descriptor, is seen from outside. With -hold it then stays, to be looked at.
 * Where success would hurt the machine that the tests run on, the attempt is a harmless one that needs the same privilege.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/securebits.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/acct.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

typedef long attempt(const char *argument);

static long done(long result) { return result < 0 ? -1 : 0; }

static long namespaces(const char *flags) { return unshare((int)strtol(flags, NULL, 0)); }
static long child(long pid)
{
    if (pid == 0) {
        pause();
        _exit(0);
    }
    return done(pid);
}
static long cloned(const char *flags)
{
    return child(syscall(SYS_clone, strtol(flags, NULL, 0) | SIGCHLD, NULL, NULL, NULL, NULL));
}
static long cloned3(const char *flags)
{
    struct { unsigned long long flags, rest[7]; } args = {.flags = strtoull(flags, NULL, 0)};
    return child(syscall(SYS_clone3, &args, sizeof args));
}
/* Root of a user namespace, if he gets one, or else as he is: both must fail. */
static long mounted_as_root(const char *type)
{
    unshare(CLONE_NEWUSER | CLONE_NEWNS);
    mkdir("/tmp/attempt", 0755);
    return mount("none", "/tmp/attempt", type, 0, strcmp(type, "cgroup") == 0 ? "memory" : NULL);
}
static long remounted(const char *path)
{
    return mount(NULL, path, NULL, MS_REMOUNT | MS_BIND, NULL);
}
static long bound(const char *path) { return mount("/tmp", path, NULL, MS_BIND, NULL); }
static long unmounted(const char *path) { return umount2(path, MNT_DETACH); }
static long fs_opened(const char *type) { return done(syscall(SYS_fsopen, type, 0)); }
static long tree_opened(const char *path)
{
    return done(syscall(SYS_open_tree, AT_FDCWD, path, 1 /* OPEN_TREE_CLONE */));
}
static long chrooted(const char *path) { return chroot(path); }
static long pivoted(const char *path) { return syscall(SYS_pivot_root, path, path); }
static long made_node(const char *path)
{
    unshare(CLONE_NEWUSER);
    return mknod(path, S_IFBLK | 0666, makedev(254, 0));
}
static long entered(const char *path)
{
    const int fd = open(path, O_RDONLY);
    return fd < 0 ? -1 : setns(fd, 0);
}

static long traced(const char *pid) { return ptrace(PTRACE_ATTACH, (pid_t)atoi(pid), NULL, NULL); }
static long seized(const char *pid) { return ptrace(PTRACE_SEIZE, (pid_t)atoi(pid), NULL, NULL); }
static long signalled(const char *pid) { return kill((pid_t)atoi(pid), SIGKILL); }
static long memory_written(const char *pid)
{
    char byte = 0;
    struct iovec mine = {&byte, 1}, theirs = {(void *)0x400000, 1};
    return done(process_vm_writev((pid_t)atoi(pid), &mine, 1, &theirs, 1, 0));
}
static long descriptor_taken(const char *pid)
{
    const int fd = (int)syscall(SYS_pidfd_open, atoi(pid), 0);
    return fd < 0 ? -1 : done(syscall(SYS_pidfd_getfd, fd, 3, 0));
}

static long opened(const char *path) { return done(open(path, O_RDONLY | O_NONBLOCK)); }
static long opened_to_write(const char *path) { return done(open(path, O_WRONLY | O_NONBLOCK)); }
static long read_some(const char *path)
{
    char bytes[64];
    const int fd = open(path, O_RDONLY | O_NONBLOCK);
    return fd < 0 ? -1 : done(read(fd, bytes, sizeof bytes));
}
static long listed(const char *path) { return done(open(path, O_RDONLY | O_DIRECTORY)); }
/* PATH:TEXT */
static long written(const char *argument)
{
    char path[256] = "";
    const char *text = strchr(argument, ':') + 1;
    strncat(path, argument, (size_t)(text - argument - 1));
    const int fd = open(path, O_WRONLY);
    return fd < 0 ? -1 : done(write(fd, text, strlen(text)));
}
/* The inode of a file on the same file system as /attack (Docker's "shocker"). */
static long by_handle(const char *inode)
{
    union {
        struct file_handle handle;
        char room[sizeof(struct file_handle) + 8];
    } file = {.handle = {.handle_bytes = 8, .handle_type = 1}};
    const unsigned number = (unsigned)strtoul(inode, NULL, 10);
    memcpy(file.handle.f_handle, &number, sizeof number);
    const int mount_point = open("/attack", O_RDONLY);
    return done(open_by_handle_at(mount_point, &file.handle, O_RDONLY));
}

static long set_uid(const char *uid) { return setresuid((uid_t)atoi(uid), (uid_t)atoi(uid), (uid_t)atoi(uid)); }
static long set_gid(const char *gid) { return setresgid((gid_t)atoi(gid), (gid_t)atoi(gid), (gid_t)atoi(gid)); }
static long set_groups(const char *gid)
{
    const gid_t group = (gid_t)atoi(gid);
    return syscall(SYS_setgroups, 1, &group);
}
static long set_capabilities(const char *unused)
{
    (void)unused;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct all[2] = {{~0U, ~0U, ~0U}, {0xff, 0xff, 0xff}};
    return syscall(SYS_capset, &header, all);
}
static long inherited_capability(const char *unused)
{
    (void)unused;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct inheritable[2] = {{0, 0, 1U << CAP_SYS_ADMIN}, {0, 0, 0}};
    return syscall(SYS_capset, &header, inheritable);
}
static long ambient_capability(const char *unused)
{
    (void)unused;
    return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0);
}
static long new_privileges(const char *unused)
{
    (void)unused;
    return prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
}
static long secure_bits(const char *unused)
{
    (void)unused;
    return prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP, 0, 0, 0);
}
static long changed_image(const char *unused)
{
    (void)unused;
    return prctl(PR_SET_MM, PR_SET_MM_START_BRK, 0x10000, 0, 0);
}

static long raised_limit(const char *resource)
{
    const int number = atoi(resource);
    struct rlimit limit;
    if (getrlimit(number, &limit) < 0) return -1;
    if (limit.rlim_max == RLIM_INFINITY) return errno = EPERM, -1;
    limit.rlim_cur = limit.rlim_max = limit.rlim_max + 1;
    return setrlimit(number, &limit);
}
static long real_time(const char *policy)
{
    const struct sched_param first = {.sched_priority = 1};
    return sched_setscheduler(0, atoi(policy), &first);
}
static long niced(const char *nice) { return setpriority(PRIO_PROCESS, 0, atoi(nice)); }
static long io_priority(const char *class) { return syscall(SYS_ioprio_set, 1, 0, atoi(class) << 13); }

static long low_port(const char *port)
{
    const struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((in_port_t)atoi(port))};
    return bind(socket(AF_INET, SOCK_STREAM, 0), (const struct sockaddr *)&address, sizeof address);
}
static long raw_socket(const char *protocol) { return done(socket(AF_INET, SOCK_RAW, atoi(protocol))); }
static long packet_socket(const char *unused)
{
    (void)unused;
    return done(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)));
}
static long marked_socket(const char *mark)
{
    const int value = atoi(mark);
    return setsockopt(socket(AF_INET, SOCK_DGRAM, 0), SOL_SOCKET, SO_MARK, &value, sizeof value);
}
/* In the abstract namespace, filled up with NULs as Node does. */
static long connected(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path + 1, name, sizeof address.sun_path - 2);
    return connect(socket(AF_UNIX, SOCK_STREAM, 0), (const struct sockaddr *)&address, sizeof address);
}
static long typed(const char *text)
{
    for (; *text != '\0'; text++)
        if (ioctl(STDIN_FILENO, TIOCSTI, text) < 0) return -1;
    return ioctl(STDIN_FILENO, TIOCSTI, "\n");
}

static long added_key(const char *name)
{
    return done(syscall(SYS_add_key, "user", name, "x", 1, KEY_SPEC_SESSION_KEYRING));
}
static long added_user_key(const char *name)
{
    return done(syscall(SYS_add_key, "user", name, "x", 1, KEY_SPEC_USER_KEYRING));
}
static long requested_key(const char *name)
{
    return done(syscall(SYS_request_key, "user", name, NULL, KEY_SPEC_SESSION_KEYRING));
}
static long described_keyring(const char *unused)
{
    char text[256];
    (void)unused;
    return done(syscall(SYS_keyctl, KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING, text, sizeof text));
}
static long loaded_module(const char *unused)
{
    (void)unused;
    return syscall(SYS_init_module, "no module", 9, "");
}
static long loaded_module_file(const char *path)
{
    return syscall(SYS_finit_module, open(path, O_RDONLY), "", 0);
}
static long unloaded_module(const char *name) { return syscall(SYS_delete_module, name, O_NONBLOCK); }
static long new_kernel(const char *unused)
{
    (void)unused;
    return syscall(SYS_kexec_load, 0, 0, NULL, 0);
}
static long bpf_map(const char *unused)
{
    (void)unused;
    union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1};
    return done(syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map));
}
static long bpf_program(const char *unused)
{
    (void)unused;
    const struct bpf_insn code[] = {{.code = 0xb7}, {.code = 0x95}}; /* r0 = 0; exit */
    union bpf_attr program = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insn_cnt = 2,
                              .insns = (unsigned long)code, .license = (unsigned long)"GPL"};
    return done(syscall(SYS_bpf, BPF_PROG_LOAD, &program, sizeof program));
}
static long perf_event(const char *pid)
{
    struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .size = sizeof event,
                                    .config = PERF_COUNT_SW_CPU_CLOCK};
    return done(syscall(SYS_perf_event_open, &event, atoi(pid), -1, -1, 0));
}
static long user_fault(const char *flags) { return done(syscall(SYS_userfaultfd, atoi(flags))); }

static long clock_set(const char *unused)
{
    struct timespec now;
    (void)unused;
    clock_gettime(CLOCK_REALTIME, &now);
    return clock_settime(CLOCK_REALTIME, &now);
}
static long clock_tuned(const char *unused)
{
    struct timex same = {.modes = ADJ_TICK, .tick = 10000};
    (void)unused;
    return done(adjtimex(&same));
}
static long rebooted(const char *unused)
{
    (void)unused;
    return reboot(RB_DISABLE_CAD); /* Ctrl-Alt-Del only */
}
static long swapped(const char *path) { return swapon(path, 0); }
static long unswapped(const char *path) { return swapoff(path); }
static long host_named(const char *name) { return sethostname(name, strlen(name)); }
static long domain_named(const char *name) { return setdomainname(name, strlen(name)); }
static long accounted(const char *path) { return acct(path); }
static long kernel_log(const char *action)
{
    char text[64];
    return klogctl(atoi(action), text, sizeof text);
}
static long port_io(const char *level) { return iopl(atoi(level)); }
static long hung_up(const char *unused) { (void)unused; return vhangup(); }

static const struct { const char *name; attempt *run; } attempts[] = {
    {"unshare", namespaces}, {"clone", cloned}, {"clone3", cloned3}, {"mount", mounted_as_root},
    {"remount", remounted}, {"bind", bound}, {"umount", unmounted}, {"fsopen", fs_opened},
    {"open-tree", tree_opened}, {"chroot", chrooted}, {"pivot-root", pivoted}, {"mknod", made_node},
    {"setns", entered}, {"ptrace", traced}, {"seize", seized}, {"kill", signalled},
    {"vm-write", memory_written}, {"pidfd-getfd", descriptor_taken}, {"open", opened},
    {"open-write", opened_to_write}, {"read", read_some}, {"list", listed}, {"write", written},
    {"handle", by_handle}, {"setuid", set_uid}, {"setgid", set_gid}, {"setgroups", set_groups},
    {"capset", set_capabilities}, {"inheritable", inherited_capability},
    {"ambient", ambient_capability}, {"new-privileges", new_privileges}, {"securebits", secure_bits},
    {"set-mm", changed_image}, {"rlimit", raised_limit}, {"real-time", real_time}, {"nice", niced},
    {"ioprio", io_priority}, {"port", low_port}, {"raw", raw_socket}, {"packet", packet_socket},
    {"mark", marked_socket}, {"abstract", connected}, {"type", typed}, {"add-key", added_key},
    {"user-key", added_user_key}, {"request-key", requested_key}, {"keyring", described_keyring},
    {"module", loaded_module}, {"module-file", loaded_module_file}, {"unload", unloaded_module},
    {"kexec", new_kernel}, {"bpf-map", bpf_map}, {"bpf-program", bpf_program}, {"perf", perf_event},
    {"userfault", user_fault}, {"clock", clock_set}, {"tick", clock_tuned}, {"reboot", rebooted},
    {"swapon", swapped}, {"swapoff", unswapped}, {"hostname", host_named}, {"domain", domain_named},
    {"acct", accounted}, {"syslog", kernel_log}, {"iopl", port_io}, {"vhangup", hung_up},
};

static void try(const char *text)
{
    const size_t length = strcspn(text, "=");
    const char *argument = text[length] == '=' ? text + length + 1 : "";
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        if (strlen(attempts[i].name) != length || strncmp(attempts[i].name, text, length) != 0)
            continue;
        errno = 0;
        const long result = attempts[i].run(argument);
        printf("%s %s\n", text, result < 0 ? strerrorname_np(errno) : "done");
        return;
    }
    printf("%s unknown\n", text);
}

int main(int argc, char **argv)
{
    const int hold = argc > 1 && strcmp(argv[1], "-hold") == 0;

    setlinebuf(stdout);
    for (int i = 1 + hold; i < argc; i++)
        try(argv[i]);
    puts("end");
    if (hold)
        pause();
    return 0;
}
