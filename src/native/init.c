/*
 * PID 1 of every container, as the unprivileged user: /.hepwrap-SECRET/init COMMAND [ARG...]. Waits
 * at the gate, which lies beside it (the directory of argv[0]; its name is a secret of each run, so
 * that no symbolic link in an image can lead a user's mount there and take our place), until the daemon has placed it, runs the command, forwards signals, reaps, says how it
 * ended. Decides nothing about rights: it is the user's own process, its lines speak for this run.
 *
 *   cc -std=gnu11 -O2 -static -Wall -Wextra -Werror -Wconversion -s \
 *      -o dist/native/hepwrap-init src/native/init.c
 *
 * Install it 0711 root: a program its user cannot read is not dumpable from execve(2) on, so there
 * is no moment before the prctl below in which the user's processes on the host could ptrace it.
 *
 * Lines at the gate (a unix stream socket; the daemon must not half-close it: EOF means lost):
 *   daemon: "enter"             before "go", along with the open tasks files of cgroups to enter
 *           "go UMASK WORKDIR"  octal; absolute, every byte <= 0x20, >= 0x7f and '%' as %XX
 *           "signal N"          any time after; unknown lines are passed over
 *   init:   "entered"  "ready"  "exec ERRNO"  "chdir ERRNO"  "exit N"  "signaled N"
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#ifndef GRACE_MS /* from SIGTERM to the end, once the daemon is lost */
#define GRACE_MS 10000
#endif

/* docker's, and the shells' */
enum { STATUS_FAILED = 125, STATUS_NOT_EXECUTABLE, STATUS_NOT_FOUND, STATUS_SIGNALED };
enum { PROBE_SPINNERS = 2, MAX_ENTRANCES = 32 };

/* "go 0022 " and the longest path with every byte escaped fit. */
struct gate {
    int fd;
    bool overlong;
    size_t filled;
    char bytes[4 * PATH_MAX];
};

struct go {
    mode_t umask;
    const char *workdir;
};

static void close_leaks(void);
static int run_probe(int argc, char **argv);
static int block_signals(void);
static void open_gate(struct gate *gate, const char *own_path);
static struct go wait_for_go(struct gate *gate);
static int release_terminal(void);
static pid_t start_command(char **argv, int terminal, int *exec_pipe);
static int supervise(struct gate *gate, pid_t child, int signals, int exec_pipe);
static void report(const struct gate *gate, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
_Noreturn static void fail(const char *text, int error, const char *code);

int main(int argc, char **argv)
{
    static struct gate gate;

    /* The command has our uid: if we were dumpable, it could ptrace us and open /proc/1/fd. */
    if (prctl(PR_SET_DUMPABLE, 0) < 0)
        fail("cannot become undumpable", errno, "HW_INTERNAL");
    close_leaks();
    /* Outside a pid namespace of our own our exit would not end the container: run nothing. */
    if (getpid() != 1)
        return run_probe(argc, argv);
    if (argc < 2)
        fail("no command", 0, "HW_COMMAND_MISSING");

    const int terminal = release_terminal();
    const int signals = block_signals();
    open_gate(&gate, argv[0]);
    const struct go go = wait_for_go(&gate);
    umask(go.umask);
    if (chdir(go.workdir) < 0) {
        report(&gate, "chdir %d\n", errno);
        return STATUS_NOT_EXECUTABLE;
    }
    int exec_pipe;
    const pid_t child = start_command(argv + 1, terminal, &exec_pipe);
    return supervise(&gate, child, signals, exec_pipe);
}

/* Closes what the engine forgot to: a leaked descriptor is a way out (runc, CVE-2024-21626). */
static void close_leaks(void)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, 3U, ~0U, 0U) == 0)
        return;
#endif
    /* Linux before 5.9, or a seccomp profile from then. */
    DIR *open_fds = opendir("/proc/self/fd");
    if (open_fds == NULL)
        fail("cannot list open files", errno, "HW_INTERNAL");
    for (struct dirent *entry; (entry = readdir(open_fds)) != NULL;) {
        const int fd = atoi(entry->d_name); /* "." and ".." are 0 */
        if (fd > 2 && fd != dirfd(open_fds))
            close(fd);
    }
    closedir(open_fds);
}

/*
 * Gives up the controlling terminal, for the command to take; the descriptor, or -1 without one.
 * The command leads a session of its own, because that makes its group an orphaned one, which ^Z
 * does not stop (setpgid(2)): nobody is there to continue it. A shell still has job control.
 */
static int release_terminal(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (tcgetsid(fd) != getpid())
            continue;
        /* TIOCNOTTY sends SIGHUP to our group (ioctl_tty(2)); PID 1 ignores it while unblocked. */
        return ioctl(fd, TIOCNOTTY) < 0 ? -1 : fd;
    }
    return -1;
}

/*
 * From here each signal waits in the signalfd, also one that comes before the command is there.
 * PID 1 discards what has no handler only while it is not blocked (pid_namespaces(7), Linux
 * kernel/signal.c sig_ignored): so blocking, without handlers, is enough.
 */
static int block_signals(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t blocked;

    /* An inherited SIG_IGN would pass to the command, and for SIGCHLD lose its status (wait(2)). */
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&blocked, faults[i]);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    const int signals = signalfd(-1, &blocked, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        fail("cannot listen for signals", errno, "HW_INTERNAL");
    return signals;
}

static void open_gate(struct gate *gate, const char *own_path)
{
    static const char name[] = "gate";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *slash = strrchr(own_path, '/');
    const size_t directory = slash == NULL ? 0 : (size_t)(slash - own_path) + 1;

    if (directory + sizeof name > sizeof address.sun_path)
        fail("the path of the gate is too long", 0, "HW_INTERNAL");
    memcpy(address.sun_path, own_path, directory);
    memcpy(address.sun_path + directory, name, sizeof name);

    gate->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (gate->fd < 0 || connect(gate->fd, (const struct sockaddr *)&address, sizeof address) < 0)
        fail("cannot reach hepwrapd", errno, "HW_DAEMON_DOWN");
}

/* Appends what has come; 0 or -1 when the daemon is gone. Not while a whole line waits. */
static ssize_t receive(struct gate *gate)
{
    ssize_t count;
    do
        count = recv(gate->fd, gate->bytes + gate->filled, sizeof gate->bytes - gate->filled, 0);
    while (count < 0 && errno == EINTR);
    if (count > 0)
        gate->filled += (size_t)count;
    return count;
}

/*
 * The same, and enters the cgroups whose open tasks files come along. A thread that moves itself need
 * not wait, as the daemon would, until no thread of the node is in fork or exit: that takes
 * milliseconds (cgroup_procs_write_start, Linux 5.13). The daemon looks where we are in the end.
 */
static ssize_t receive_and_enter(struct gate *gate)
{
    union {
        struct cmsghdr alignment;
        char bytes[CMSG_SPACE(MAX_ENTRANCES * sizeof(int))];
    } control;
    struct iovec text = {gate->bytes + gate->filled, sizeof gate->bytes - gate->filled};
    struct msghdr message = {.msg_iov = &text,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t count;
    do
        count = recvmsg(gate->fd, &message, MSG_CMSG_CLOEXEC);
    while (count < 0 && errno == EINTR);
    if (count <= 0)
        return count;
    gate->filled += (size_t)count;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part != NULL;
         part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        int fd;
        for (size_t at = CMSG_LEN(0); at + sizeof fd <= part->cmsg_len; at += sizeof fd) {
            memcpy(&fd, (char *)part + at, sizeof fd);
            while (write(fd, "0", 1) < 0 && errno == EINTR)
                ;
            close(fd);
        }
    }
    return count;
}

/* Moves the next line into `line`, as "" where it is overlong or has a NUL; false: none yet. */
static bool take_line(struct gate *gate, char line[sizeof gate->bytes])
{
    const char *newline = memchr(gate->bytes, '\n', gate->filled);
    if (newline == NULL) {
        if (gate->filled == sizeof gate->bytes) {
            gate->overlong = true;
            gate->filled = 0;
        }
        return false;
    }
    const size_t length = (size_t)(newline - gate->bytes);
    memcpy(line, gate->bytes, length);
    line[gate->overlong || memchr(line, '\0', length) != NULL ? 0 : length] = '\0';
    gate->overlong = false;
    gate->filled -= length + 1;
    memmove(gate->bytes, newline + 1, gate->filled);
    return true;
}

/* The whole text as a number up to max, or -1; strtol alone would take blanks and signs. */
static long parse_number(const char *text, int base, long max)
{
    char *end;
    if (*text < '0' || *text > '9')
        return -1;
    errno = 0;
    const long number = strtol(text, &end, base);
    return *end != '\0' || errno != 0 || number > max ? -1 : number;
}

/* Undoes %XX in place; false where a byte stands raw that must not, or an escape is broken. */
static bool unescape(char *text)
{
    char *out = text;
    for (const char *in = text; *in != '\0'; in++) {
        if ((unsigned char)*in <= 0x20 || (unsigned char)*in >= 0x7f)
            return false;
        if (*in != '%') {
            *out++ = *in;
            continue;
        }
        if (!isxdigit((unsigned char)in[1]) || !isxdigit((unsigned char)in[2]))
            return false;
        const char digits[] = {in[1], in[2], '\0'};
        in += 2;
        *out = (char)strtol(digits, NULL, 16);
        if (*out++ == '\0')
            return false;
    }
    *out = '\0';
    return true;
}

static struct go wait_for_go(struct gate *gate)
{
    static char line[sizeof gate->bytes];

    for (;;) {
        if (take_line(gate, line)) {
            if (strcmp(line, "enter") != 0)
                break;
            report(gate, "entered\n");
            continue;
        }
        const ssize_t count = receive_and_enter(gate);
        if (count <= 0)
            fail("hepwrapd left before the start", count < 0 ? errno : 0, "HW_DAEMON_LOST");
    }
    char *separator = strncmp(line, "go ", 3) == 0 ? strchr(line + 3, ' ') : NULL;
    if (separator != NULL) {
        *separator = '\0';
        const long mask = parse_number(line + 3, 8, 0777);
        char *workdir = separator + 1;
        if (mask >= 0 && *workdir == '/' && unescape(workdir))
            return (struct go){.umask = (mode_t)mask, .workdir = workdir};
    }
    fail("hepwrapd does not speak this init's protocol", 0, "HW_INTERNAL");
}

/*
 * The first executable file of that name in PATH, as runc's (Go's) LookPath, and like it not in
 * relative directories: the cwd is the user's own. 0, or EACCES where a file is there that may not
 * be executed, else ENOENT; execve(2) would say EACCES also for a directory it may not search.
 */
static int search_path(const char *name, char path[PATH_MAX])
{
    const char *directory = getenv("PATH");
    if (directory == NULL)
        directory = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    int error = ENOENT;
    for (size_t length; *directory != '\0'; directory += length + (directory[length] == ':')) {
        struct stat found;
        length = strcspn(directory, ":");
        if (*directory != '/' || length + strlen(name) + 2 > PATH_MAX)
            continue;
        snprintf(path, PATH_MAX, "%.*s/%s", (int)length, directory, name);
        if (stat(path, &found) < 0 || !S_ISREG(found.st_mode))
            continue;
        if (access(path, X_OK) == 0)
            return 0;
        error = EACCES;
    }
    return error;
}

/*
 * Returns only if it fails, with the errno. execvp(3) is not it: that runs an ENOEXEC file by
 * /bin/sh, where docker says "exec format error" and the user wants to know of a foreign processor.
 */
static int execute(char **argv)
{
    char found_path[PATH_MAX];
    const char *path = argv[0];
    struct stat found;

    if (strchr(path, '/') == NULL) {
        const int error = *path == '\0' ? ENOENT : search_path(path, found_path);
        if (error != 0)
            return error;
        path = found_path;
    }
    execve(path, argv, environ);
    const int error = errno;
    /* Two cases that execve(2) does not tell from others: a directory (EACCES), and a file whose
     * interpreter or loader is not there (ENOENT): the command is found, so 126, not 127. */
    const bool is_there = stat(path, &found) == 0;
    if (is_there && S_ISDIR(found.st_mode))
        return EISDIR;
    return is_there && error == ENOENT ? ELIBACC : error;
}

static pid_t start_command(char **argv, int terminal, int *exec_pipe)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        fail("cannot make a pipe", errno, "HW_INTERNAL");
    const pid_t child = fork();
    if (child < 0)
        fail("cannot fork", errno, "HW_INTERNAL");
    if (child == 0) {
        sigset_t none;
        if (terminal >= 0) {
            setsid();
            ioctl(terminal, TIOCSCTTY, 0); /* makes our group the foreground one, too */
        } else {
            setpgid(0, 0);
        }
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        const int error = execute(argv);
        _exit(write(ends[1], &error, sizeof error) < 0); /* the parent gives the status */
    }
    close(ends[1]);
    /* A stream that the command closes shall be closed, as if it were PID 1 itself. */
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        close(fd);
    *exec_pipe = ends[0];
    return child;
}

/* 0 when execve(2) closed the other end, else the errno that the child wrote. */
static int read_exec_error(int exec_pipe)
{
    int error = 0;
    return read(exec_pipe, &error, sizeof error) == sizeof error ? error : 0;
}

/* Obeys the lines that have come. The pid is the child's until we reap it. */
static void obey(struct gate *gate, pid_t child)
{
    static char line[sizeof gate->bytes];

    while (take_line(gate, line)) {
        const long number = strncmp(line, "signal ", 7) == 0 ? parse_number(line + 7, 10, 64) : 0;
        if (number > 0)
            kill(child, (int)number);
    }
}

static void forward(int signals, pid_t child)
{
    struct signalfd_siginfo pending;
    while (read(signals, &pending, sizeof pending) == sizeof pending) {
        const int number = (int)pending.ssi_signo;
        if (number != SIGCHLD && number != SIGTTIN && number != SIGTTOU)
            kill(child, number);
    }
}

/* Reaps all that has ended, orphans too; true with the status when the command is among them. */
static bool reap(pid_t child, int *status)
{
    int ended_status;
    for (pid_t ended; (ended = waitpid(-1, &ended_status, WNOHANG)) > 0;) {
        if (ended == child) {
            *status = ended_status;
            return true;
        }
    }
    return false;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Our exit ends all other processes: the kernel kills the namespace's rest (pid_namespaces(7)). */
static int supervise(struct gate *gate, pid_t child, int signals, int exec_pipe)
{
    struct pollfd ready[] = {{signals, POLLIN, 0}, {gate->fd, POLLIN, 0}, {exec_pipe, POLLIN, 0}};
    int64_t deadline_ms = INT64_MAX;
    bool ended = false;
    int status;

    while (!ended) {
        obey(gate, child); /* first, for orders may have come along with "go" */
        const int64_t left_ms = deadline_ms - now_ms();
        if (left_ms <= 0)
            return STATUS_SIGNALED + SIGKILL;
        if (poll(ready, 3, left_ms > GRACE_MS ? -1 : (int)left_ms) < 0)
            continue;
        if (ready[1].revents != 0 && receive(gate) <= 0) {
            ready[1].fd = -1;
            deadline_ms = now_ms() + GRACE_MS;
            kill(child, SIGTERM);
        }
        if (ready[0].revents != 0) {
            forward(signals, child);
            ended = reap(child, &status);
        }
        /* A dead child has settled this, whatever poll saw of the pipe before. */
        if (exec_pipe >= 0 && (ready[2].revents != 0 || ended)) {
            const int error = read_exec_error(exec_pipe);
            if (error != 0) {
                report(gate, "exec %d\n", error);
                return error == ENOENT || error == ENOTDIR ? STATUS_NOT_FOUND
                                                           : STATUS_NOT_EXECUTABLE;
            }
            report(gate, "ready\n");
            close(exec_pipe);
            ready[2].fd = exec_pipe = -1;
        }
    }
    if (WIFSIGNALED(status)) {
        report(gate, "signaled %d\n", WTERMSIG(status));
        return STATUS_SIGNALED + WTERMSIG(status);
    }
    report(gate, "exit %d\n", WEXITSTATUS(status));
    return WEXITSTATUS(status);
}

/* In the daemon's queue when it returns, so our exit loses nothing; no error if none is there. */
static void report(const struct gate *gate, const char *format, ...)
{
    char line[32];
    va_list values;
    va_start(values, format);
    const int length = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    send(gate->fd, line, (size_t)length, MSG_NOSIGNAL);
}

_Noreturn static void fail(const char *text, int error, const char *code)
{
    if (error == 0)
        dprintf(STDERR_FILENO, "hepwrap: %s (%s)\n", text, code);
    else
        dprintf(STDERR_FILENO, "hepwrap: %s: %s (%s)\n", text, strerror(error), code);
    _exit(STATUS_FAILED);
}

/* Touches so much memory; a limit that binds kills it. */
static int probe_memory(size_t bytes)
{
    volatile char *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        fail("cannot map memory", errno, "HW_INTERNAL");
    for (size_t offset = 0; offset < bytes; offset += 4096)
        memory[offset] = 1;
    return 0;
}

/* Asks for two processors for so long; prints the microseconds it was given. */
static int probe_cpu(long wall_ms)
{
    const int64_t end_ms = now_ms() + wall_ms;
    for (int i = 0; i < PROBE_SPINNERS; i++) {
        const pid_t spinner = fork();
        if (spinner < 0)
            fail("cannot fork", errno, "HW_INTERNAL");
        while (spinner == 0)
            if (now_ms() >= end_ms)
                _exit(0);
    }
    while (wait(NULL) > 0)
        ;
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    const int64_t cpu_usec = (int64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 +
                             used.ru_utime.tv_usec + used.ru_stime.tv_usec;
    return dprintf(STDOUT_FILENO, "%lld\n", (long long)cpu_usec) < 0;
}

/* So many processes that change their number all the time and pass over SIGTERM; never ends. */
static int probe_forks(long lines)
{
    signal(SIGTERM, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    for (long i = 0; i < lines; i++) {
        pid_t child;
        /* The dead fill the limit of processes, until PID 1 has had the time to reap them. */
        while ((child = fork()) < 0)
            ;
        while (child == 0)
            if ((child = fork()) > 0)
                _exit(0);
            else if (child < 0)
                child = 0;
    }
    for (;;)
        pause();
}

/* Asks for so many processes at once; ends with 1 where it was refused one. */
static int probe_pids(long count)
{
    for (long i = 0; i < count; i++) {
        const pid_t child = fork();
        if (child < 0)
            return 1;
        while (child == 0)
            pause();
    }
    return 0;
}

/* What `hepwrap doctor` runs as a command in a container, to see limits bind by their effect. */
static int run_probe(int argc, char **argv)
{
    const char *name = argc == 3 ? argv[1] : "";
    const long number = argc == 3 ? parse_number(argv[2], 10, LONG_MAX) : -1;

    if (number > 0 && strcmp(name, "probe-memory") == 0)
        return probe_memory((size_t)number);
    if (number > 0 && number <= 60000 && strcmp(name, "probe-cpu") == 0)
        return probe_cpu(number);
    if (number > 0 && number <= 64 && strcmp(name, "probe-forks") == 0)
        return probe_forks(number);
    if (number > 0 && number <= 1024 && strcmp(name, "probe-pids") == 0)
        return probe_pids(number);
    fail("init runs only as PID 1 of a container", 0, "HW_INTERNAL");
}
