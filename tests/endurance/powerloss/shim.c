/* Intercepts a program's file operations. Every change below SHIM_ROOT is appended to SHIM_LOG, in
 * the order of the changes. SHIM_FAULTS (24 mapped bytes) makes the disk fail.
 * shim.py builds this file; replay.py reads the log. Its ENTRY_HEADER has the layout of
 * `struct entry`. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_DESCRIPTORS 65536
#define NEVER_FAILS 2 /* state of the acknowledgement file, whose writes always succeed */
enum { SYNC_WORKS, SYNC_FAILS, SYNC_IGNORED }; /* what a sync does */

struct entry { uint32_t kind, path, data; uint32_t flags; uint64_t inode, offset; };
struct faults { volatile int32_t sync, full; volatile int64_t free_bytes, read_interval; };

static struct { char state; uint64_t inode; } files[MAX_DESCRIPTORS];
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static struct faults no_faults, *faults = &no_faults;
static const char *root = "";
static int log_fd = -1;

#define REAL(type, name, ...) static type (*real_##name)(__VA_ARGS__);
REAL(int, open, const char *, int, ...) REAL(int, openat, int, const char *, int, ...)
REAL(int, close, int) REAL(int, dup, int) REAL(int, dup2, int, int) REAL(int, dup3, int, int, int)
REAL(int, fcntl, int, int, ...) REAL(ssize_t, write, int, const void *, size_t)
REAL(ssize_t, pwrite, int, const void *, size_t, off_t)
REAL(ssize_t, read, int, void *, size_t) REAL(ssize_t, pread, int, void *, size_t, off_t)
REAL(ssize_t, writev, int, const struct iovec *, int)
REAL(ssize_t, pwritev, int, const struct iovec *, int, off_t)
REAL(int, ftruncate, int, off_t) REAL(int, fsync, int) REAL(int, fdatasync, int)
REAL(int, unlink, const char *) REAL(int, unlinkat, int, const char *, int)
REAL(int, rename, const char *, const char *) REAL(int, mkdir, const char *, mode_t)
REAL(int, link, const char *, const char *)
REAL(int, linkat, int, const char *, int, const char *, int) REAL(int, rmdir, const char *)

__attribute__((constructor)) static void initialize(void) {
#define FIND(name, symbol) real_##name = (void *)dlsym(RTLD_NEXT, symbol)
    FIND(open, "open64"); FIND(openat, "openat64"); FIND(close, "close"); FIND(dup, "dup");
    FIND(dup2, "dup2"); FIND(dup3, "dup3"); FIND(fcntl, "fcntl64"); FIND(write, "write");
    FIND(pwrite, "pwrite64"); FIND(read, "read"); FIND(pread, "pread64"); FIND(writev, "writev"); FIND(pwritev, "pwritev64");
    FIND(ftruncate, "ftruncate64"); FIND(fsync, "fsync"); FIND(fdatasync, "fdatasync");
    FIND(unlink, "unlink"); FIND(unlinkat, "unlinkat"); FIND(rename, "rename");
    FIND(mkdir, "mkdir"); FIND(link, "link"); FIND(linkat, "linkat"); FIND(rmdir, "rmdir");
    const char *log = getenv("SHIM_LOG"), *control = getenv("SHIM_FAULTS");
    if (!log || !control || !getenv("SHIM_ROOT")) return;
    root = strdup(getenv("SHIM_ROOT"));
    log_fd = real_open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int fd = real_open(control, O_RDWR | O_CLOEXEC);
    void *mapped = mmap(NULL, sizeof no_faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (log_fd < 0 || fd < 0 || mapped == MAP_FAILED) abort();
    faults = mapped;
    real_close(fd);
}

/* Writes the absolute path to `full`, and returns whether it is below the root. SQLite's -shm is
 * left out: it need not survive a restart, and it is written through a mapping. */
static int is_below_root(int dir, const char *path, char *full) {
    char link_path[64];
    ssize_t length = 0;
    if (path[0] != '/') {
        if (dir == AT_FDCWD) snprintf(link_path, sizeof link_path, "/proc/self/cwd");
        else snprintf(link_path, sizeof link_path, "/proc/self/fd/%d", dir);
        length = readlink(link_path, full, 4000);
        if (length < 0) return 0;
        full[length++] = '/';
    }
    snprintf(full + length, 8192 - length, "%s", path);
    size_t root_length = strlen(root), all = strlen(full);
    if (!root_length || strncmp(full, root, root_length) || (full[root_length] && full[root_length] != '/'))
        return 0;
    return all < 4 || strcmp(full + all - 4, "-shm") != 0;
}

static void append_entry(char kind, uint64_t inode, uint64_t offset, int flags, const char *path,
                 const void *data, size_t size) {
    size_t path_length = path ? strlen(path) : 0;
    struct entry entry = {kind, path_length, size, flags, inode, offset};
    struct iovec parts[] = {{&entry, sizeof entry}, {(void *)path, path_length}, {(void *)data, size}};
    if (real_writev(log_fd, parts, 3) != (ssize_t)(sizeof entry + path_length + size)) abort();
}

static int is_recorded_fd(int fd) { return fd >= 0 && fd < MAX_DESCRIPTORS && files[fd].state; }
static uint64_t inode_of(const char *path) { struct stat s; return stat(path, &s) ? 0 : s.st_ino; }

/* Returns whether this read must fail: every n-th does. */
static int must_fail_read(int fd) {
    static int64_t read_count;
    int64_t interval = faults->read_interval;
    if (!interval || !is_recorded_fd(fd) || __sync_add_and_fetch(&read_count, 1) % interval) return 0;
    errno = EIO;
    return 1;
}
ssize_t read(int fd, void *data, size_t size) {
    return must_fail_read(fd) ? -1 : real_read(fd, data, size);
}
ssize_t pread(int fd, void *data, size_t size, off_t offset) {
    return must_fail_read(fd) ? -1 : real_pread(fd, data, size, offset);
}
ssize_t pread64(int fd, void *data, size_t size, off_t offset) { return pread(fd, data, size, offset); }

/* Returns how many bytes of a write fit on the disk. */
static size_t writable_size(int fd, size_t requested) {
    if (!faults->full || files[fd].state == NEVER_FAILS) return requested;
    size_t free_bytes = faults->free_bytes > 0 ? (size_t)faults->free_bytes : 0;
    if (requested > free_bytes) requested = free_bytes;
    faults->free_bytes -= requested;
    return requested;
}

static int open_recorded(int dir, const char *path, int flags, mode_t mode) {
    char full[8192];
    int is_recorded = log_fd >= 0 && is_below_root(dir, path, full);
    if (!is_recorded) {
        int fd = real_openat(dir, path, flags, mode);
        if (fd >= 0 && fd < MAX_DESCRIPTORS) files[fd].state = 0;
        return fd;
    }
    pthread_mutex_lock(&log_lock);
    int fd = real_openat(dir, path, flags, mode);
    struct stat status;
    if (fd >= 0 && fd < MAX_DESCRIPTORS && !fstat(fd, &status)) {
        int is_acknowledgement = strstr(full, "/acknowledged") != NULL;
        files[fd].state = is_acknowledgement ? NEVER_FAILS : 1;
        files[fd].inode = status.st_ino;
        append_entry('O', status.st_ino, 0, (flags & O_TRUNC ? 1 : 0) | (S_ISDIR(status.st_mode) ? 2 : 0),
             full, NULL, 0);
    }
    pthread_mutex_unlock(&log_lock);
    return fd;
}

#define OPEN(name) int name(const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
    return open_recorded(AT_FDCWD, path, flags, mode); }
#define OPENAT(name) int name(int dir, const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
    return open_recorded(dir, path, flags, mode); }
OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64)
int creat(const char *p, mode_t m) { return open_recorded(AT_FDCWD, p, O_CREAT | O_WRONLY | O_TRUNC, m); }
int creat64(const char *p, mode_t m) { return creat(p, m); }

int close(int fd) {
    if (fd == log_fd && fd >= 0) return 0; /* subprocess closes all unknown descriptors */
    if (fd >= 0 && fd < MAX_DESCRIPTORS) files[fd].state = 0;
    return real_close(fd);
}
static int copy_state(int from, int to) {
    if (to >= 0 && to < MAX_DESCRIPTORS && from >= 0 && from < MAX_DESCRIPTORS) files[to] = files[from];
    return to;
}
int dup(int fd) { return copy_state(fd, real_dup(fd)); }
int dup2(int fd, int to) { return copy_state(fd, real_dup2(fd, to)); }
int dup3(int fd, int to, int flags) { return copy_state(fd, real_dup3(fd, to, flags)); }
#define FCNTL(name) int name(int fd, int command, ...) { \
    va_list rest; va_start(rest, command); void *argument = va_arg(rest, void *); va_end(rest); \
    int result = real_fcntl(fd, command, argument); \
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copy_state(fd, result) : result; }
FCNTL(fcntl) FCNTL(fcntl64)

/* The write and its log entry share a lock, so that the log has the order of the disk. `offset` is
 * -1 for the file's own position. */
static ssize_t write_recorded(int fd, const void *data, size_t size, off_t offset) {
    if (!is_recorded_fd(fd)) return offset < 0 ? real_write(fd, data, size) : real_pwrite(fd, data, size, offset);
    pthread_mutex_lock(&log_lock);
    size_t free_bytes = writable_size(fd, size);
    ssize_t result = -1;
    if (size && !free_bytes) errno = ENOSPC;
    else result = offset < 0 ? real_write(fd, data, free_bytes) : real_pwrite(fd, data, free_bytes, offset);
    int saved_errno = errno;
    if (result > 0) {
        if (offset < 0) offset = lseek(fd, 0, SEEK_CUR) - result;
        append_entry('W', files[fd].inode, offset, 0, NULL, data, result);
    }
    pthread_mutex_unlock(&log_lock);
    errno = saved_errno;
    return result;
}
ssize_t write(int fd, const void *data, size_t size) { return write_recorded(fd, data, size, -1); }
ssize_t pwrite(int fd, const void *d, size_t n, off_t offset) { return write_recorded(fd, d, n, offset); }
ssize_t pwrite64(int fd, const void *d, size_t n, off_t offset) { return write_recorded(fd, d, n, offset); }

static ssize_t write_vector(int fd, const struct iovec *parts, int count, off_t offset) {
    ssize_t all = 0;
    for (int i = 0; i < count; i++) {
        ssize_t result = write_recorded(fd, parts[i].iov_base, parts[i].iov_len, offset < 0 ? -1 : offset + all);
        if (result < 0) return all ? all : -1;
        all += result;
        if ((size_t)result < parts[i].iov_len) break;
    }
    return all;
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    return is_recorded_fd(fd) ? write_vector(fd, parts, count, -1) : real_writev(fd, parts, count);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return is_recorded_fd(fd) ? write_vector(fd, parts, count, offset) : real_pwritev(fd, parts, count, offset);
}
ssize_t pwritev64(int fd, const struct iovec *p, int n, off_t offset) { return pwritev(fd, p, n, offset); }

int ftruncate(int fd, off_t size) {
    if (!is_recorded_fd(fd)) return real_ftruncate(fd, size);
    pthread_mutex_lock(&log_lock);
    int result = real_ftruncate(fd, size);
    if (!result) append_entry('T', files[fd].inode, size, 0, NULL, NULL, 0);
    pthread_mutex_unlock(&log_lock);
    return result;
}
int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }

static void append_sync(char kind, int fd) {
    pthread_mutex_lock(&log_lock);
    append_entry(kind, files[fd].inode, syscall(SYS_gettid), 0, NULL, NULL, 0);
    pthread_mutex_unlock(&log_lock);
}
/* A finished sync makes the writes before its start durable. A write during the sync may be lost. */
static int sync_recorded(int fd, int (*real)(int)) {
    if (!is_recorded_fd(fd)) return real(fd);
    if (faults->sync == SYNC_IGNORED) return 0;
    append_sync('B', fd);
    int fails = faults->sync == SYNC_FAILS && files[fd].state != NEVER_FAILS;
    int result = fails ? -1 : real(fd);
    append_sync(result ? 'F' : 'E', fd);
    if (fails) errno = EIO;
    return result;
}
int fsync(int fd) { return sync_recorded(fd, real_fsync); }
int fdatasync(int fd) { return sync_recorded(fd, real_fdatasync); }

/* Changes of names: `call` is the real function; `from` and `to` are logged when it succeeded. */
#define CHANGE_NAMES(kind, dir, from, other, to, call) { \
    char source[8192], target[8192] = ""; \
    int is_recorded = log_fd >= 0 && is_below_root(dir, from, source); \
    is_recorded |= log_fd >= 0 && *(to) && is_below_root(other, to, target); \
    if (!is_recorded) return call; \
    pthread_mutex_lock(&log_lock); \
    int result = call, saved_errno = errno; \
    if (!result) append_entry(kind, inode_of(*target ? target : source), 0, 0, source, target, strlen(target)); \
    pthread_mutex_unlock(&log_lock); \
    errno = saved_errno; \
    return result; }
int unlink(const char *p) CHANGE_NAMES('U', AT_FDCWD, p, AT_FDCWD, "", real_unlink(p))
int rmdir(const char *p) CHANGE_NAMES('U', AT_FDCWD, p, AT_FDCWD, "", real_rmdir(p))
int unlinkat(int d, const char *p, int f) CHANGE_NAMES('U', d, p, d, "", real_unlinkat(d, p, f))
int mkdir(const char *p, mode_t m) CHANGE_NAMES('M', AT_FDCWD, p, AT_FDCWD, "", real_mkdir(p, m))
int rename(const char *p, const char *q) CHANGE_NAMES('R', AT_FDCWD, p, AT_FDCWD, q, real_rename(p, q))
int link(const char *p, const char *q) CHANGE_NAMES('L', AT_FDCWD, p, AT_FDCWD, q, real_link(p, q))
int linkat(int d, const char *p, int e, const char *q, int f)
    CHANGE_NAMES('L', d, p, e, q, real_linkat(d, p, e, q, f))
