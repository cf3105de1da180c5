/* Stands between a program and its disk: every change below SHIM_ROOT is appended to SHIM_LOG in
 * the order in which it was made, and SHIM_FAULTS (24 mapped bytes) makes the disk fail at will.
 * Built and read by tests/soak/powerloss; the layout of `struct entry` is replay.py's HEAD too. */
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

#define MOST 65536 /* descriptors */
#define NOBODY_FAILS 2
enum { HONEST, FAILS, LIES }; /* what a sync does */

struct entry { uint32_t kind, path, data; uint32_t flags; uint64_t inode, at; };
struct faults { volatile int32_t sync, full; volatile int64_t room, reads; };

static struct { char watched; uint64_t inode; } files[MOST];
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static struct faults none, *faults = &none;
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

__attribute__((constructor)) static void begin(void) {
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
    void *mapped = mmap(NULL, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (log_fd < 0 || fd < 0 || mapped == MAP_FAILED) abort();
    faults = mapped;
    real_close(fd);
}

/* The library's own name for a path, and whether it is below the root. SQLite's -shm is no file
 * that must outlive the machine, and is written by mapping. */
static int ours(int dir, const char *path, char *full) {
    char place[64];
    ssize_t length = 0;
    if (path[0] != '/') {
        if (dir == AT_FDCWD) snprintf(place, sizeof place, "/proc/self/cwd");
        else snprintf(place, sizeof place, "/proc/self/fd/%d", dir);
        length = readlink(place, full, 4000);
        if (length < 0) return 0;
        full[length++] = '/';
    }
    snprintf(full + length, 8192 - length, "%s", path);
    size_t deep = strlen(root), all = strlen(full);
    if (!deep || strncmp(full, root, deep) || (full[deep] && full[deep] != '/')) return 0;
    return all < 4 || strcmp(full + all - 4, "-shm") != 0;
}

static void note(char kind, uint64_t inode, uint64_t at, int flags, const char *path,
                 const void *data, size_t size) {
    size_t named = path ? strlen(path) : 0;
    struct entry entry = {kind, named, size, flags, inode, at};
    struct iovec parts[] = {{&entry, sizeof entry}, {(void *)path, named}, {(void *)data, size}};
    if (real_writev(log_fd, parts, 3) != (ssize_t)(sizeof entry + named + size)) abort();
}

static int watched(int fd) { return fd >= 0 && fd < MOST && files[fd].watched; }
static uint64_t inode_of(const char *path) { struct stat s; return stat(path, &s) ? 0 : s.st_ino; }

/* Whether it is the turn of a read to fail: of so many one does. */
static int unreadable(int fd) {
    static int64_t asked;
    int64_t one_of = faults->reads;
    if (!one_of || !watched(fd) || __sync_add_and_fetch(&asked, 1) % one_of) return 0;
    errno = EIO;
    return 1;
}
ssize_t read(int fd, void *data, size_t size) {
    return unreadable(fd) ? -1 : real_read(fd, data, size);
}
ssize_t pread(int fd, void *data, size_t size, off_t at) {
    return unreadable(fd) ? -1 : real_pread(fd, data, size, at);
}
ssize_t pread64(int fd, void *data, size_t size, off_t at) { return pread(fd, data, size, at); }

/* How much of a write the disk still has room for. */
static size_t fits(int fd, size_t wanted) {
    if (!faults->full || files[fd].watched == NOBODY_FAILS) return wanted;
    size_t room = faults->room > 0 ? (size_t)faults->room : 0;
    if (wanted > room) wanted = room;
    faults->room -= wanted;
    return wanted;
}

static int opened(int dir, const char *path, int flags, mode_t mode) {
    char full[8192];
    int mine = log_fd >= 0 && ours(dir, path, full);
    if (!mine) {
        int fd = real_openat(dir, path, flags, mode);
        if (fd >= 0 && fd < MOST) files[fd].watched = 0;
        return fd;
    }
    pthread_mutex_lock(&order);
    int fd = real_openat(dir, path, flags, mode);
    struct stat found;
    if (fd >= 0 && fd < MOST && !fstat(fd, &found)) {
        int witness = strstr(full, "/acknowledged") != NULL;
        files[fd].watched = witness ? NOBODY_FAILS : 1;
        files[fd].inode = found.st_ino;
        note('O', found.st_ino, 0, (flags & O_TRUNC ? 1 : 0) | (S_ISDIR(found.st_mode) ? 2 : 0),
             full, NULL, 0);
    }
    pthread_mutex_unlock(&order);
    return fd;
}

#define OPEN(name) int name(const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
    return opened(AT_FDCWD, path, flags, mode); }
#define OPENAT(name) int name(int dir, const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
    return opened(dir, path, flags, mode); }
OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64)
int creat(const char *p, mode_t m) { return opened(AT_FDCWD, p, O_CREAT | O_WRONLY | O_TRUNC, m); }
int creat64(const char *p, mode_t m) { return creat(p, m); }

int close(int fd) {
    if (fd == log_fd && fd >= 0) return 0; /* a program that closes all it does not know */
    if (fd >= 0 && fd < MOST) files[fd].watched = 0;
    return real_close(fd);
}
static int copied(int from, int to) {
    if (to >= 0 && to < MOST && from >= 0 && from < MOST) files[to] = files[from];
    return to;
}
int dup(int fd) { return copied(fd, real_dup(fd)); }
int dup2(int fd, int to) { return copied(fd, real_dup2(fd, to)); }
int dup3(int fd, int to, int flags) { return copied(fd, real_dup3(fd, to, flags)); }
#define FCNTL(name) int name(int fd, int command, ...) { \
    va_list rest; va_start(rest, command); void *told = va_arg(rest, void *); va_end(rest); \
    int done = real_fcntl(fd, command, told); \
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(fd, done) : done; }
FCNTL(fcntl) FCNTL(fcntl64)

/* Made and noted in one step, so that the log's order is the disk's. `at` is -1 for the file's own
 * position. */
static ssize_t written(int fd, const void *data, size_t size, off_t at) {
    if (!watched(fd)) return at < 0 ? real_write(fd, data, size) : real_pwrite(fd, data, size, at);
    pthread_mutex_lock(&order);
    size_t room = fits(fd, size);
    ssize_t done = -1;
    if (size && !room) errno = ENOSPC;
    else done = at < 0 ? real_write(fd, data, room) : real_pwrite(fd, data, room, at);
    int kept = errno;
    if (done > 0) {
        if (at < 0) at = lseek(fd, 0, SEEK_CUR) - done;
        note('W', files[fd].inode, at, 0, NULL, data, done);
    }
    pthread_mutex_unlock(&order);
    errno = kept;
    return done;
}
ssize_t write(int fd, const void *data, size_t size) { return written(fd, data, size, -1); }
ssize_t pwrite(int fd, const void *d, size_t n, off_t at) { return written(fd, d, n, at); }
ssize_t pwrite64(int fd, const void *d, size_t n, off_t at) { return written(fd, d, n, at); }

static ssize_t gathered(int fd, const struct iovec *parts, int count, off_t at) {
    ssize_t all = 0;
    for (int i = 0; i < count; i++) {
        ssize_t done = written(fd, parts[i].iov_base, parts[i].iov_len, at < 0 ? -1 : at + all);
        if (done < 0) return all ? all : -1;
        all += done;
        if ((size_t)done < parts[i].iov_len) break;
    }
    return all;
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    return watched(fd) ? gathered(fd, parts, count, -1) : real_writev(fd, parts, count);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    return watched(fd) ? gathered(fd, parts, count, at) : real_pwritev(fd, parts, count, at);
}
ssize_t pwritev64(int fd, const struct iovec *p, int n, off_t at) { return pwritev(fd, p, n, at); }

int ftruncate(int fd, off_t size) {
    if (!watched(fd)) return real_ftruncate(fd, size);
    pthread_mutex_lock(&order);
    int done = real_ftruncate(fd, size);
    if (!done) note('T', files[fd].inode, size, 0, NULL, NULL, 0);
    pthread_mutex_unlock(&order);
    return done;
}
int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }

static void noted_sync(char kind, int fd) {
    pthread_mutex_lock(&order);
    note(kind, files[fd].inode, syscall(SYS_gettid), 0, NULL, NULL, 0);
    pthread_mutex_unlock(&order);
}
/* What was written before a sync began is kept once it has ended; what came between may be. */
static int synced(int fd, int (*real)(int)) {
    if (!watched(fd)) return real(fd);
    if (faults->sync == LIES) return 0;
    noted_sync('B', fd);
    int fails = faults->sync == FAILS && files[fd].watched != NOBODY_FAILS;
    int done = fails ? -1 : real(fd);
    noted_sync(done ? 'F' : 'E', fd);
    if (fails) errno = EIO;
    return done;
}
int fsync(int fd) { return synced(fd, real_fsync); }
int fdatasync(int fd) { return synced(fd, real_fdatasync); }

/* Names: `call` is the real thing; `from` and `to` are noted when it has been done. */
#define NAMED(kind, dir, from, other, to, call) { \
    char one[8192], two[8192] = ""; \
    int mine = log_fd >= 0 && ours(dir, from, one); \
    mine |= log_fd >= 0 && *(to) && ours(other, to, two); \
    if (!mine) return call; \
    pthread_mutex_lock(&order); \
    int done = call, kept = errno; \
    if (!done) note(kind, inode_of(*two ? two : one), 0, 0, one, two, strlen(two)); \
    pthread_mutex_unlock(&order); \
    errno = kept; \
    return done; }
int unlink(const char *p) NAMED('U', AT_FDCWD, p, AT_FDCWD, "", real_unlink(p))
int rmdir(const char *p) NAMED('U', AT_FDCWD, p, AT_FDCWD, "", real_rmdir(p))
int unlinkat(int d, const char *p, int f) NAMED('U', d, p, d, "", real_unlinkat(d, p, f))
int mkdir(const char *p, mode_t m) NAMED('M', AT_FDCWD, p, AT_FDCWD, "", real_mkdir(p, m))
int rename(const char *p, const char *q) NAMED('R', AT_FDCWD, p, AT_FDCWD, q, real_rename(p, q))
int link(const char *p, const char *q) NAMED('L', AT_FDCWD, p, AT_FDCWD, q, real_link(p, q))
int linkat(int d, const char *p, int e, const char *q, int f)
    NAMED('L', d, p, e, q, real_linkat(d, p, e, q, f))
