/* root-squash SOURCE MOUNTPOINT: SOURCE again at MOUNTPOINT, as NFS with root_squash shows it: each
 * name is looked up and each file opened with the ids of whoever asks, and root is nobody. What has
 * been looked up stays known by number, as an NFS file handle does. */
#define _GNU_SOURCE
#define FUSE_USE_VERSION 35
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NOBODY = 65534, MAX_GROUPS = 64 };
static int source;

/* An inode is the O_PATH descriptor that its lookup gave; none is ever closed. */
static int fd_of(fuse_ino_t inode)
{
    return inode == FUSE_ROOT_ID ? source : (int)inode;
}

static const char *path_of(fuse_ino_t inode)
{
    static char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd_of(inode));
    return path;
}

/* setfsuid keeps root's own right to read /proc/self/fd; the raw setgroups is this thread's alone. */
static void become(fuse_req_t request)
{
    const struct fuse_ctx *asking = fuse_req_ctx(request);
    gid_t groups[MAX_GROUPS];
    int count = asking->uid == 0 ? 0 : fuse_req_getgroups(request, MAX_GROUPS, groups);

    syscall(SYS_setgroups, count < 0 ? 0 : count > MAX_GROUPS ? MAX_GROUPS : count, groups);
    setfsgid(asking->uid == 0 ? NOBODY : asking->gid);
    setfsuid(asking->uid == 0 ? NOBODY : asking->uid);
}

/* Ends the request with the result of a call: an errno, or 0. */
static int back(int result)
{
    int error = result < 0 ? errno : 0;
    setfsuid(0);
    setfsgid(0);
    return error;
}

static void reply_entry(fuse_req_t request, fuse_ino_t parent, const char *name,
                        struct fuse_file_info *file)
{
    struct fuse_entry_param entry = {0};
    int fd, error;

    become(request);
    fd = openat(fd_of(parent), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    error = back(fd);
    if (error || fstatat(fd, "", &entry.attr, AT_EMPTY_PATH) < 0) {
        fuse_reply_err(request, error ? error : errno);
        return;
    }
    entry.ino = (fuse_ino_t)fd;
    if (file)
        fuse_reply_create(request, &entry, file);
    else
        fuse_reply_entry(request, &entry);
}

static void on_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    reply_entry(request, parent, name, NULL);
}

static void on_getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file)
{
    struct stat status;
    (void)file;
    if (fstatat(fd_of(inode), "", &status, AT_EMPTY_PATH) < 0)
        fuse_reply_err(request, errno);
    else
        fuse_reply_attr(request, &status, 0);
}

static void on_setattr(fuse_req_t request, fuse_ino_t inode, struct stat *wanted, int set,
                       struct fuse_file_info *file)
{
    int error = 0;
    become(request);
    if (set & FUSE_SET_ATTR_MODE)
        error = chmod(path_of(inode), wanted->st_mode);
    if (!error && set & FUSE_SET_ATTR_SIZE)
        error = truncate(path_of(inode), wanted->st_size);
    error = back(error);
    if (error)
        fuse_reply_err(request, error);
    else
        on_getattr(request, inode, file);
}

static void on_access(fuse_req_t request, fuse_ino_t inode, int mask)
{
    int result;
    become(request);
    result = (int)syscall(SYS_faccessat2, AT_FDCWD, path_of(inode), mask, AT_EACCESS);
    fuse_reply_err(request, back(result));
}

static void on_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file)
{
    int fd, error;
    become(request);
    fd = open(path_of(inode), (file->flags & ~O_NOFOLLOW) | O_CLOEXEC);
    error = back(fd);
    file->fh = (uint64_t)fd;
    if (error)
        fuse_reply_err(request, error);
    else
        fuse_reply_open(request, file);
}

static void on_create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *file)
{
    int fd, error;
    become(request);
    fd = openat(fd_of(parent), name, file->flags | O_CREAT | O_CLOEXEC, mode);
    error = back(fd);
    file->fh = (uint64_t)fd;
    if (error)
        fuse_reply_err(request, error);
    else
        reply_entry(request, parent, name, file);
}

static void on_read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
                    struct fuse_file_info *file)
{
    struct fuse_bufvec buffer = FUSE_BUFVEC_INIT(size);
    (void)inode;
    buffer.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
    buffer.buf[0].fd = (int)file->fh;
    buffer.buf[0].pos = offset;
    fuse_reply_data(request, &buffer, 0);
}

static void on_write(fuse_req_t request, fuse_ino_t inode, const char *bytes, size_t size,
                     off_t offset, struct fuse_file_info *file)
{
    ssize_t written = pwrite((int)file->fh, bytes, size, offset);
    (void)inode;
    if (written < 0)
        fuse_reply_err(request, errno);
    else
        fuse_reply_write(request, (size_t)written);
}

static void on_release(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file)
{
    (void)inode;
    close((int)file->fh);
    fuse_reply_err(request, 0);
}

static void on_readdir(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
                       struct fuse_file_info *file)
{
    char *buffer = malloc(size);
    size_t used = 0;
    DIR *directory = fdopendir(dup((int)file->fh));
    struct dirent *entry;
    (void)inode;
    if (!buffer || !directory) {
        fuse_reply_err(request, ENOMEM);
        return;
    }
    seekdir(directory, offset);
    while ((entry = readdir(directory)) != NULL) {
        struct stat status = {.st_ino = entry->d_ino, .st_mode = (mode_t)entry->d_type << 12};
        size_t need = fuse_add_direntry(request, buffer + used, size - used, entry->d_name,
                                        &status, telldir(directory));
        if (need > size - used)
            break;
        used += need;
    }
    fuse_reply_buf(request, buffer, used);
    closedir(directory);
    free(buffer);
}

static void on_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode)
{
    int error;
    become(request);
    error = back(mkdirat(fd_of(parent), name, mode));
    if (error)
        fuse_reply_err(request, error);
    else
        reply_entry(request, parent, name, NULL);
}

static void on_unlink(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    become(request);
    fuse_reply_err(request, back(unlinkat(fd_of(parent), name, 0)));
}

static void on_rmdir(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    become(request);
    fuse_reply_err(request, back(unlinkat(fd_of(parent), name, AT_REMOVEDIR)));
}

static void on_readlink(fuse_req_t request, fuse_ino_t inode)
{
    char target[4096];
    ssize_t length = readlinkat(fd_of(inode), "", target, sizeof target - 1);
    if (length < 0) {
        fuse_reply_err(request, errno);
        return;
    }
    target[length] = '\0';
    fuse_reply_readlink(request, target);
}

static const struct fuse_lowlevel_ops operations = {
    .lookup = on_lookup, .getattr = on_getattr, .setattr = on_setattr, .access = on_access,
    .open = on_open, .create = on_create, .read = on_read, .write = on_write,
    .release = on_release, .opendir = on_open, .readdir = on_readdir, .releasedir = on_release,
    .mkdir = on_mkdir, .unlink = on_unlink, .rmdir = on_rmdir, .readlink = on_readlink,
};

int main(int count, char **words)
{
    char *options[] = {"root-squash", "-o", "allow_other,fsname=root-squash"};
    struct fuse_args arguments = FUSE_ARGS_INIT(3, options);
    struct fuse_session *session;

    umask(0);
    source = count == 3 ? open(words[1], O_PATH | O_DIRECTORY) : -1;
    if (source < 0 || !(session = fuse_session_new(&arguments, &operations, sizeof operations, NULL)) ||
        fuse_session_mount(session, words[2]) != 0) {
        fprintf(stderr, "usage: root-squash SOURCE MOUNTPOINT\n");
        return 1;
    }
    fuse_daemonize(0);
    return fuse_session_loop(session);
}
