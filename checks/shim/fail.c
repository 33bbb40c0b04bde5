/* Lets one call to the system fail, the N-th of its kind on the files of one directory, or on sockets of the internet.
 *
 *   LD_PRELOAD=fail.so FAIL_DIR=/data FAIL_CALL=write FAIL_N=7 FAIL_HOW=ENOSPC abide serve ...
 *
 * FAIL_CALL: open, write (pwrite too), sync (fsync, fdatasync), truncate, rename, unlink; accept, receive, send.
 * FAIL_HOW:  the name of an error, such as ENOSPC; short reads or writes half; torn writes half and says that it was all;
 *            lost says that it has synced and hasn't.
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
#include <sys/socket.h>
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
    if (!wanted || strcmp(wanted, call) != 0)
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
        {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT},         {"EROFS", EROFS},           {"EIO", EIO},
        {"EINTR", EINTR},   {"EMFILE", EMFILE},         {"ENOBUFS", ENOBUFS},       {"EPIPE", EPIPE},
        {"ECONNRESET", ECONNRESET}, {"ECONNABORTED", ECONNABORTED},
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

/* How many bytes of a write go on, if it is to fail; what it says then. */
enum { WHOLE, PART, REFUSED };

static int broken(int is_ours, const char *call, size_t *length) {
    if (!is_ours || !fails(call))
        return WHOLE;
    if (strcmp(how(), "short") != 0 && strcmp(how(), "torn") != 0)
        return REFUSED;
    *length = cut(*length);
    return PART;
}

/* What a write says that wrote so much of that. */
static ssize_t said(int broken, ssize_t written, size_t whole) {
    return broken == PART && written >= 0 && strcmp(how(), "torn") == 0 ? (ssize_t)whole : written;
}

static int is_socket(int fd) {
    int domain;
    socklen_t length = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && (domain == AF_INET || domain == AF_INET6);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    size_t part = length;
    int as = is_socket(fd) ? broken(1, "send", &part) : broken(is_ours(fd), "write", &part);
    return as == REFUSED ? refuse() : said(as, REAL(write)(fd, bytes, part), length);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    size_t part = length;
    int as = broken(is_ours(fd), "write", &part);
    return as == REFUSED ? refuse() : said(as, REAL(pwrite64)(fd, bytes, part, at), length);
}

int accept4(int fd, struct sockaddr *from, socklen_t *length, int flags) {
    return fails("accept") ? refuse() : REAL(accept4)(fd, from, length, flags);
}

ssize_t recv(int fd, void *bytes, size_t length, int flags) {
    return broken(is_socket(fd), "receive", &length) == REFUSED ? refuse() : REAL(recv)(fd, bytes, length, flags);
}

ssize_t read(int fd, void *bytes, size_t length) {
    return broken(is_socket(fd), "receive", &length) == REFUSED ? refuse() : REAL(read)(fd, bytes, length);
}

ssize_t send(int fd, const void *bytes, size_t length, int flags) {
    return broken(is_socket(fd), "send", &length) == REFUSED ? refuse() : REAL(send)(fd, bytes, length, flags);
}

/* Of several pieces the first goes alone, where the rest is to come later. */
ssize_t writev(int fd, const struct iovec *pieces, int count) {
    size_t first = pieces[0].iov_len;
    int as = broken(is_socket(fd), "send", &first);
    if (as == PART)
        return REAL(write)(fd, pieces[0].iov_base, first);
    return as == REFUSED ? refuse() : REAL(writev)(fd, pieces, count);
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
