/* Preloaded into a process: lets its calls below one folder fail, or kills it there.
 *
 *     cc -shared -fPIC -O1 -o faults.so faults.c -ldl
 *
 * `faults_set(folder, at, error, onwards)` counts from then on the calls on files below the folder, and lets
 * the at-th fail with the error, and with `onwards` all after it; an error of -1 kills the process instead.
 * `faults_count()` says how many there were, `faults_last()` which call failed, on which path.
 * Without a call of `faults_set` the environment decides: FAULTS_FOLDER, FAULTS_AT, FAULTS_ERROR,
 * FAULTS_ONWARDS, and FAULTS_COUNTER, a file of 16 KiB in which all processes count together.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Shared with the processes that are forked later, or by a file with all that know it. */
static struct state {
    long count;
    char last[2 * PATH_MAX + 64];
} own, *shared = &own;
static char folder[PATH_MAX];
static long at;
static int error_number, onwards;

void faults_set(const char *below, long number, int error, int from_then_on) {
    at = number;
    error_number = error;
    onwards = from_then_on;
    __atomic_store_n(&shared->count, 0, __ATOMIC_SEQ_CST);
    shared->last[0] = 0;
    snprintf(folder, sizeof folder, "%s", below);
}

long faults_count(void) { return shared->count; }

const char *faults_last(void) { return shared->last; }

__attribute__((constructor)) static void from_environment(void) {
    const char *below = getenv("FAULTS_FOLDER"), *counter = getenv("FAULTS_COUNTER");
    int file = counter ? open(counter, O_RDWR | O_CLOEXEC) : -1;
    int kind = MAP_SHARED | (file < 0 ? MAP_ANONYMOUS : 0);
    void *place = mmap(0, sizeof own, PROT_READ | PROT_WRITE, kind, file, 0);
    if (place != MAP_FAILED) shared = place;
    if (below) {
        const char *error = getenv("FAULTS_ERROR"), *number = getenv("FAULTS_AT"), *from = getenv("FAULTS_ONWARDS");
        at = number ? atol(number) : 0;
        error_number = error ? atoi(error) : 0;
        onwards = from && *from == '1';
        snprintf(folder, sizeof folder, "%s", below);
    }
}

static int is_below(const char *path) {
    size_t length = strlen(folder);
    return !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

/* Whether the call is to fail; sets errno. */
static int fails_at(const char *call, int dir, const char *path) {
    char full[PATH_MAX * 2], base[PATH_MAX];
    if (!*folder) return 0;
    if (path[0] == '/') {
        snprintf(full, sizeof full, "%s", path);
    } else {
        char link[64];
        snprintf(link, sizeof link, dir == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", dir);
        ssize_t length = readlink(link, base, sizeof base - 1);
        if (length < 0) return 0;
        base[length] = 0;
        snprintf(full, sizeof full, *path ? "%s/%s" : "%s%s", base, path);
    }
    if (!is_below(full)) return 0;
    long number = __atomic_add_fetch(&shared->count, 1, __ATOMIC_SEQ_CST);
    if (!at || number < at || (number > at && !onwards)) return 0;
    if (number == at) snprintf(shared->last, sizeof own.last, "%s %s", call, full);
    if (error_number < 0) kill(getpid(), SIGKILL);
    errno = error_number;
    return 1;
}

static int file_fails(const char *call, int file) { return fails_at(call, file, ""); }

#define REAL(name, type, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

#define OPEN(name)                                                                             \
    int name(const char *path, int flags, ...) {                                               \
        va_list rest;                                                                          \
        va_start(rest, flags);                                                                 \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                \
        va_end(rest);                                                                          \
        if (fails_at(flags & O_CREAT ? "create" : "open", AT_FDCWD, path)) return -1;          \
        return REAL(name, int, const char *, int, ...)(path, flags, mode);                     \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                           \
    int name(int dir, const char *path, int flags, ...) {                                      \
        va_list rest;                                                                          \
        va_start(rest, flags);                                                                 \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                \
        va_end(rest);                                                                          \
        if (fails_at(flags & O_CREAT ? "create" : "open", dir, path)) return -1;               \
        return REAL(name, int, int, const char *, int, ...)(dir, path, flags, mode);           \
    }
OPENAT(openat)
OPENAT(openat64)

/* result name(parameters), of an open file or of a path */
#define OF_FILE(result, name, file, arguments, ...)                                            \
    result name(__VA_ARGS__) {                                                                 \
        if (file_fails(#name, file)) return -1;                                                \
        return REAL(name, result, __VA_ARGS__) arguments;                                      \
    }
#define OF_PATH(result, name, dir, path, arguments, ...)                                       \
    result name(__VA_ARGS__) {                                                                 \
        if (fails_at(#name, dir, path)) return (result)-1;                                     \
        return REAL(name, result, __VA_ARGS__) arguments;                                      \
    }
OF_FILE(ssize_t, read, file, (file, to, size), int file, void *to, size_t size)
OF_FILE(ssize_t, pread, file, (file, to, size, at), int file, void *to, size_t size, off_t at)
OF_FILE(ssize_t, pread64, file, (file, to, size, at), int file, void *to, size_t size, off64_t at)
OF_FILE(ssize_t, readv, file, (file, to, n), int file, const struct iovec *to, int n)
OF_FILE(ssize_t, write, file, (file, from, size), int file, const void *from, size_t size)
OF_FILE(ssize_t, pwrite, file, (file, from, size, at), int file, const void *from, size_t size, off_t at)
OF_FILE(ssize_t, pwrite64, file, (file, from, size, at), int file, const void *from, size_t size, off64_t at)
OF_FILE(ssize_t, writev, file, (file, from, n), int file, const struct iovec *from, int n)
OF_FILE(int, fsync, file, (file), int file)
OF_FILE(int, fdatasync, file, (file), int file)
OF_FILE(int, ftruncate, file, (file, size), int file, off_t size)
OF_FILE(int, ftruncate64, file, (file, size), int file, off64_t size)
OF_FILE(ssize_t, sendfile, to, (to, from, at, size), int to, int from, off_t *at, size_t size)
OF_FILE(ssize_t, sendfile64, to, (to, from, at, size), int to, int from, off64_t *at, size_t size)
OF_FILE(ssize_t, copy_file_range, to, (from, a, to, b, size, flags), int from, off64_t *a, int to, off64_t *b,
        size_t size, unsigned flags)
OF_PATH(int, mkdir, AT_FDCWD, path, (path, mode), const char *path, mode_t mode)
OF_PATH(int, mkdirat, dir, path, (dir, path, mode), int dir, const char *path, mode_t mode)
OF_PATH(int, rmdir, AT_FDCWD, path, (path), const char *path)
OF_PATH(int, unlink, AT_FDCWD, path, (path), const char *path)
OF_PATH(int, unlinkat, dir, path, (dir, path, flags), int dir, const char *path, int flags)
OF_PATH(int, rename, AT_FDCWD, to, (from, to), const char *from, const char *to)
OF_PATH(int, renameat, b, to, (a, from, b, to), int a, const char *from, int b, const char *to)
OF_PATH(int, renameat2, b, to, (a, from, b, to, how), int a, const char *from, int b, const char *to,
        unsigned how)
OF_PATH(int, chmod, AT_FDCWD, path, (path, mode), const char *path, mode_t mode)
OF_PATH(int, fchmodat, dir, path, (dir, path, mode, flags), int dir, const char *path, mode_t mode, int flags)

/* Returns no number but a pointer. */
void *opendir(const char *path) {
    if (fails_at("opendir", AT_FDCWD, path)) return 0;
    return REAL(opendir, void *, const char *)(path);
}
