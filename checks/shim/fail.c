/* Lets one call to the file system fail, the N-th of its kind on the files of one directory.
 *
 *   LD_PRELOAD=fail.so FAIL_DIR=/data FAIL_CALL=write FAIL_N=7 FAIL_HOW=ENOSPC abide serve ...
 *
 * FAIL_CALL: open, write (pwrite too), sync (fsync, fdatasync), truncate, rename, unlink; any counts all of them.
 * FAIL_HOW:  ENOSPC, EDQUOT, EROFS, EIO, EINTR; short writes half; lost says that it has synced and hasn't.
 * FAIL_FOR:  how many calls from the N-th on fail; 1 by default.
 * FAIL_COUNT names a file to which the count of such calls is written as they are made. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long calls;

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

static int is_ours_path(const char *path) {
    const char *dir = getenv("FAIL_DIR");
    return dir && path && strncmp(path, dir, strlen(dir)) == 0;
}

static int is_ours(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return is_ours_path(path);
}

static void count(long n) {
    const char *file = getenv("FAIL_COUNT");
    if (!file)
        return;
    char text[32];
    int length = snprintf(text, sizeof text, "%ld\n", n);
    int fd = REAL(open)(file, O_WRONLY | O_CREAT, 0600);
    if (fd >= 0) {
        ssize_t written = REAL(pwrite64)(fd, text, (size_t)length, 0);
        (void)written;
        close(fd);
    }
}

/* Whether this call is to fail. */
static int fails(const char *call) {
    const char *wanted = getenv("FAIL_CALL"), *at = getenv("FAIL_N"), *span = getenv("FAIL_FOR");
    if (!wanted || (strcmp(wanted, call) != 0 && strcmp(wanted, "any") != 0))
        return 0;
    long n = atomic_fetch_add(&calls, 1) + 1;
    count(n);
    long first = at ? atol(at) : 0, many = span ? atol(span) : 1;
    return first > 0 && n >= first && n < first + many;
}

static const char *how(void) {
    const char *how = getenv("FAIL_HOW");
    return how ? how : "EIO";
}

static int refuse(void) {
    static const struct { const char *name; int number; } known[] = {
        {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EROFS", EROFS}, {"EIO", EIO}, {"EINTR", EINTR},
    };
    errno = EIO;
    for (size_t n = 0; n < sizeof known / sizeof *known; n++)
        if (strcmp(known[n].name, how()) == 0)
            errno = known[n].number;
    return -1;
}

static size_t cut(size_t length) {
    return length > 1 ? length / 2 : length;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    if (is_ours(fd) && fails("write")) {
        if (strcmp(how(), "short") != 0)
            return refuse();
        length = cut(length);
    }
    return REAL(write)(fd, bytes, length);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    if (is_ours(fd) && fails("write")) {
        if (strcmp(how(), "short") != 0)
            return refuse();
        length = cut(length);
    }
    return REAL(pwrite64)(fd, bytes, length, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    return pwrite64(fd, bytes, length, at);
}

static int sync_by(int fd, int (*sync)(int)) {
    if (is_ours(fd) && fails("sync"))
        return strcmp(how(), "lost") == 0 ? 0 : refuse();
    return sync(fd);
}

int fsync(int fd) { return sync_by(fd, REAL(fsync)); }
int fdatasync(int fd) { return sync_by(fd, REAL(fdatasync)); }

int ftruncate64(int fd, off64_t length) {
    if (is_ours(fd) && fails("truncate"))
        return refuse();
    return REAL(ftruncate64)(fd, length);
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int rename(const char *from, const char *to) {
    if (is_ours_path(to) && fails("rename"))
        return refuse();
    return REAL(rename)(from, to);
}

int unlink(const char *path) {
    if (is_ours_path(path) && fails("unlink"))
        return refuse();
    return REAL(unlink)(path);
}

static mode_t mode_of(int flags, va_list more) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = mode_of(flags, more);
    va_end(more);
    if (is_ours_path(path) && fails("open"))
        return refuse();
    return REAL(open64)(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = mode_of(flags, more);
    va_end(more);
    if (is_ours_path(path) && fails("open"))
        return refuse();
    return REAL(open)(path, flags, mode);
}
