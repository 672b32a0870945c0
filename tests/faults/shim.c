/* An LD_PRELOAD shim: makes system calls on some files fail, and records them.
 *
 * HOLDFAST_FAULTS names a file of rules, read again whenever it changes; a line is
 *     WHAT WHERE AFTER COUNT ERRNO
 * WHAT: write (write, pwrite, writev, pwritev), sync (fsync, fdatasync), any.
 * WHERE: part of the path of the file; "meta" stands for a descriptor opened O_DSYNC or O_SYNC on data.mdb, "data" for
 * any other on data.mdb. AFTER: so many calls pass first. COUNT: so many fail then (-1: for ever). ERRNO: a number; 0 makes
 * a write short by half, 1009 kills the process before the call, 1010 its parent too, 1011 stops it there until somebody
 * continues it (the rules' file goes first, so that no successor meets the same). A rule counts from the moment it is read; a counter for each rule and process.
 *
 * HOLDFAST_RECORD names a folder: each process writes there what it does to files below HOLDFAST_RECORD_BELOW, one record a
 * call, so that a test can replay it: W write, M write that syncs itself, S sync, T truncate, C create, D make a folder,
 * R rename, U remove.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define RULES_MAX 16

struct rule {
    char what[16], where[200];
    long after, count;
    int code;
};

static struct rule rules[RULES_MAX];
static int rules_count;
static struct timespec rules_read;
static off_t rules_size = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int record_fd = -1;
static pid_t record_pid;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);
static int (*real_unlinkat)(int, const char *, int);
static int (*real_rmdir)(const char *);
static int (*real_mkdir)(const char *, mode_t);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_ftruncate)(int, off_t);

__attribute__((constructor)) static void begin(void) {
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_writev = dlsym(RTLD_NEXT, "writev");
    real_pwritev = dlsym(RTLD_NEXT, "pwritev64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_rename = dlsym(RTLD_NEXT, "rename");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_unlinkat = dlsym(RTLD_NEXT, "unlinkat");
    real_rmdir = dlsym(RTLD_NEXT, "rmdir");
    real_mkdir = dlsym(RTLD_NEXT, "mkdir");
    real_openat = dlsym(RTLD_NEXT, "openat64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
}

static int path_of(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, size - 1);
    if (n <= 0 || path[0] != '/') return 0;
    path[n] = 0;
    return 1;
}

static void read_rules(void) {
    const char *name = getenv("HOLDFAST_FAULTS");
    struct stat st;
    if (!name || stat(name, &st) != 0) {
        rules_count = 0;
        rules_size = -1;
        return;
    }
    if (st.st_mtim.tv_sec == rules_read.tv_sec && st.st_mtim.tv_nsec == rules_read.tv_nsec && st.st_size == rules_size)
        return;
    rules_read = st.st_mtim;
    rules_size = st.st_size;
    rules_count = 0;
    FILE *file = fopen(name, "re");
    if (!file) return;
    while (rules_count < RULES_MAX) {
        struct rule *r = &rules[rules_count];
        if (fscanf(file, "%15s %199s %ld %ld %d", r->what, r->where, &r->after, &r->count, &r->code) != 5) break;
        rules_count++;
    }
    fclose(file);
}

/* HOLDFAST_CLOCK names a file of 8 bytes: nanoseconds to add to the wall clock, read at each look at it. */
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static const volatile int64_t *clock_offset;

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (!real_clock_gettime) real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real_clock_gettime(clock, now);
    if (result != 0 || clock != CLOCK_REALTIME || !getenv("HOLDFAST_CLOCK")) return result;
    if (!clock_offset) {
        int fd = open(getenv("HOLDFAST_CLOCK"), O_RDONLY | O_CLOEXEC);
        void *page = fd < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
        if (fd >= 0) close(fd);
        if (page == MAP_FAILED) return result;
        clock_offset = page;
    }
    int64_t ns = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + *clock_offset;
    now->tv_sec = ns / 1000000000;
    now->tv_nsec = ns % 1000000000;
    return result;
}

/* -1: go on; else the errno to fail with, 0 for half a write. */
static int judge(const char *what, int fd) {
    char path[4096];
    int verdict = -1;
    if (!getenv("HOLDFAST_FAULTS")) return -1;
    int saved = errno;
    if (path_of(fd, path, sizeof path)) {
        size_t n = strlen(path);
        int mdb = n >= 8 && strcmp(path + n - 8, "data.mdb") == 0;
        int flags = mdb ? fcntl(fd, F_GETFL) : 0;
        int meta = mdb && (flags & O_DSYNC);
        pthread_mutex_lock(&lock);
        read_rules();
        for (int i = 0; i < rules_count && verdict < 0; i++) {
            struct rule *r = &rules[i];
            if (strcmp(r->what, "any") != 0 && strcmp(r->what, what) != 0) continue;
            if (strcmp(r->where, "meta") == 0 ? !meta : strcmp(r->where, "data") == 0 ? !mdb || meta : !strstr(path, r->where))
                continue;
            if (r->after > 0) {
                r->after--;
            } else if (r->count != 0) {
                if (r->count > 0) r->count--;
                verdict = r->code;
                if (verdict >= 1009) {
                    real_unlink(getenv("HOLDFAST_FAULTS"));
                    if (verdict == 1010) kill(getppid(), SIGKILL);
                    kill(getpid(), verdict == 1011 ? SIGSTOP : SIGKILL);
                    verdict = -1;
                }
            }
        }
        pthread_mutex_unlock(&lock);
    }
    errno = saved;
    return verdict;
}

static int recording(const char *path) {
    const char *folder = getenv("HOLDFAST_RECORD"), *below = getenv("HOLDFAST_RECORD_BELOW");
    size_t n = below ? strlen(below) : 0;
    if (!folder || n == 0 || strncmp(path, below, n) != 0 || (path[n] != '/' && path[n] != 0)) return 0;
    if (record_fd < 0 || record_pid != getpid()) {
        char name[4096];
        record_pid = getpid();
        snprintf(name, sizeof name, "%s/%d", folder, record_pid);
        record_fd = real_openat(AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
    return record_fd >= 0;
}

/* The record's head carries the time, so that the records of several processes can be put in order. */
static void record(char kind, const char *path, const char *other, off_t offset, const void *data, size_t size) {
    int saved = errno;
    char head[8300];
    struct timespec now;
    pthread_mutex_lock(&lock);
    if (recording(path)) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        int n = snprintf(head, sizeof head, "%c %lld.%09ld %lld %zu %s\t%s\n", kind, (long long)now.tv_sec, now.tv_nsec,
                         (long long)offset, size, path, other ? other : "");
        struct iovec parts[2] = {{head, (size_t)n}, {(void *)data, data ? size : 0}};
        if (real_writev(record_fd, parts, data ? 2 : 1) < 0) abort();
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
}

static void record_fd_op(char kind, int fd, off_t offset, const void *data, size_t size) {
    char path[4096];
    if (getenv("HOLDFAST_RECORD") && path_of(fd, path, sizeof path)) record(kind, path, NULL, offset, data, size);
}

/* A write to a descriptor opened O_DSYNC is a write and a sync in one. */
static char kind_of_write(int fd) { return fcntl(fd, F_GETFL) & O_DSYNC ? 'M' : 'W'; }

ssize_t write(int fd, const void *data, size_t size) {
    int verdict = judge("write", fd);
    if (verdict > 0) { errno = verdict; return -1; }
    if (verdict == 0 && size > 1) size /= 2;
    ssize_t n = real_write(fd, data, size);
    if (n > 0 && getenv("HOLDFAST_RECORD")) {
        off_t at = lseek(fd, 0, SEEK_CUR);
        if (at >= 0) record_fd_op(kind_of_write(fd), fd, at - n, data, (size_t)n);
    }
    return n;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) {
    int verdict = judge("write", fd);
    if (verdict > 0) { errno = verdict; return -1; }
    if (verdict == 0 && size > 1) size /= 2;
    ssize_t n = real_pwrite(fd, data, size, offset);
    if (n > 0) record_fd_op(kind_of_write(fd), fd, offset, data, (size_t)n);
    return n;
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwrite64(fd, data, size, offset); }

static void record_parts(int fd, off_t offset, const struct iovec *parts, int count, ssize_t written) {
    if (!getenv("HOLDFAST_RECORD")) return;
    for (int i = 0; i < count && written > 0; i++) {
        size_t size = parts[i].iov_len < (size_t)written ? parts[i].iov_len : (size_t)written;
        record_fd_op(kind_of_write(fd), fd, offset, parts[i].iov_base, size);
        offset += (off_t)size;
        written -= (ssize_t)size;
    }
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    int verdict = judge("write", fd);
    if (verdict > 0) { errno = verdict; return -1; }
    ssize_t n = real_writev(fd, parts, verdict == 0 && count > 1 ? count / 2 : count);
    if (n > 0 && getenv("HOLDFAST_RECORD")) {
        off_t at = lseek(fd, 0, SEEK_CUR);
        if (at >= 0) record_parts(fd, at - n, parts, count, n);
    }
    return n;
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset) {
    int verdict = judge("write", fd);
    if (verdict > 0) { errno = verdict; return -1; }
    ssize_t n = real_pwritev(fd, parts, verdict == 0 && count > 1 ? count / 2 : count, offset);
    if (n > 0) record_parts(fd, offset, parts, count, n);
    return n;
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return pwritev64(fd, parts, count, offset); }

int fsync(int fd) {
    int verdict = judge("sync", fd);
    if (verdict > 0) { errno = verdict; return -1; }
    int result = real_fsync(fd);
    if (result == 0) record_fd_op('S', fd, 0, NULL, 0);
    return result;
}

int fdatasync(int fd) {
    int verdict = judge("sync", fd);
    if (verdict > 0) { errno = verdict; return -1; }
    int result = real_fdatasync(fd);
    if (result == 0) record_fd_op('S', fd, 0, NULL, 0);
    return result;
}

int ftruncate64(int fd, off_t size) {
    int result = real_ftruncate(fd, size);
    if (result == 0) record_fd_op('T', fd, size, NULL, 0);
    return result;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int rename(const char *from, const char *to) {
    int result = real_rename(from, to);
    if (result == 0 && getenv("HOLDFAST_RECORD")) record('R', from, to, 0, NULL, 0);
    return result;
}

/* The path of an entry of an open folder. */
static int path_at(int folder, const char *name, char *path, size_t size) {
    if (name[0] == '/') return snprintf(path, size, "%s", name) < (int)size;
    if (folder == AT_FDCWD || !path_of(folder, path, size)) return 0;
    size_t n = strlen(path);
    return snprintf(path + n, size - n, "/%s", name) < (int)(size - n);
}

static int removed(int result, int folder, const char *name) {
    char path[4096];
    if (result == 0 && getenv("HOLDFAST_RECORD") && path_at(folder, name, path, sizeof path))
        record('U', path, NULL, 0, NULL, 0);
    return result;
}

int unlink(const char *path) { return removed(real_unlink(path), AT_FDCWD, path); }
int rmdir(const char *path) { return removed(real_rmdir(path), AT_FDCWD, path); }

int unlinkat(int folder, const char *name, int flags) {
    char path[4096] = "";
    int known = getenv("HOLDFAST_RECORD") && path_at(folder, name, path, sizeof path);
    int result = real_unlinkat(folder, name, flags);
    if (result == 0 && known) record('U', path, NULL, 0, NULL, 0);
    return result;
}

int mkdir(const char *path, mode_t mode) {
    int result = real_mkdir(path, mode);
    if (result == 0 && getenv("HOLDFAST_RECORD")) record('D', path, NULL, 0, NULL, 0);
    return result;
}

/* Opening records what it makes: a file that was not there before, and the end of what was in one that was. */
int openat64(int folder, const char *name, int flags, ...) {
    char path[4096];
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if (!real_openat) real_openat = dlsym(RTLD_NEXT, "openat64");
    int known = flags & (O_CREAT | O_TRUNC) && getenv("HOLDFAST_RECORD") && path_at(folder, name, path, sizeof path);
    int there = known && access(path, F_OK) == 0;
    int fd = real_openat(folder, name, flags, mode);
    if (fd >= 0 && known && !there) record('C', path, NULL, 0, NULL, 0);
    if (fd >= 0 && known && there && flags & O_TRUNC) record('T', path, NULL, 0, NULL, 0);
    return fd;
}
#define MODE_OF(flags) ({ va_list rest; va_start(rest, flags); mode_t m = (flags) & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; va_end(rest); m; })
int openat(int folder, const char *name, int flags, ...) { return openat64(folder, name, flags, MODE_OF(flags)); }
int open64(const char *name, int flags, ...) { return openat64(AT_FDCWD, name, flags, MODE_OF(flags)); }
int open(const char *name, int flags, ...) { return openat64(AT_FDCWD, name, flags, MODE_OF(flags)); }
