// The launcher as a native Linux program: what the shell script of the second stage does, without a shell.
// It becomes the file's own program when `convert` puts its ELF header at byte 0 (specification 1.0, 14.2).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cache.h"
#include "index.h"
#include "sha256.h"

#if defined(__x86_64__)
#define TARGET "linux-x86_64"
#elif defined(__aarch64__)
#define TARGET "linux-aarch64"
#else
#error "no launcher for this processor"
#endif

enum { CANNOT_RUN = 126, NOT_FOUND = 127, PATH_SIZE = 8192 };

typedef enum { READY, ELSEWHERE, DAMAGED } Outcome;

static const char *self_name;
static char part_name[PATH_SIZE];  // what an interrupted extraction takes away again, in part_dir
static int part_dir = -1;

static void say(const char *text) {
    size_t left = strlen(text);
    while (left) {
        ssize_t count = write(2, text, left);
        if (count <= 0) return;
        text += count, left -= (size_t)count;
    }
}

static _Noreturn void fail(int code, const char *before, const char *name, const char *after) {
    say(self_name), say(": "), say(before), say(name), say(after), say("\n");
    exit(code);
}

// Append `text` to `path`; a path that does not fit is empty, and nothing is found there.
static void append(char *path, const char *text) {
    size_t have = strlen(path), more = strlen(text);
    if (have + more < PATH_SIZE) memcpy(path + have, text, more + 1);
    else *path = 0;
}

static const char *setting(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

static void on_signal(int number) {
    unlinkat(part_dir, part_name, 0);
    _exit(128 + number);
}

// Copy `size` bytes at `offset` of `from` to `to` (-1: nowhere) and hash them. 0 if reading or writing failed.
static int copy(int from, uint64_t offset, uint64_t size, int to, uint8_t digest[32], int *write_failed) {
    static uint8_t buffer[1 << 18];
    Sha256 sum;
    sha256_start(&sum);
    while (size) {
        ssize_t got = pread(from, buffer, size < sizeof buffer ? size : sizeof buffer, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return 0;
        sha256_add(&sum, buffer, (size_t)got);
        for (ssize_t done = 0; to >= 0 && done < got;) {
            ssize_t put = write(to, buffer + done, (size_t)(got - done));
            if (put < 0 && errno == EINTR) continue;
            if (put <= 0) return *write_failed = 1, 0;
            done += put;
        }
        offset += (uint64_t)got, size -= (uint64_t)got;
    }
    sha256_end(&sum, digest);
    return 1;
}

static int holds(int file, const Build *build) {
    uint8_t digest[32];
    int write_failed = 0;
    return copy(file, 0, build->size, -1, digest, &write_failed) && same_bytes(digest, build->sha256, 32);
}

// Write the build to "runtime" in `dir`, by a name of its own until it is whole and on the medium.
static Outcome extract(int self, const Build *build, int dir, const char *host) {
    char number[24];
    decimal((uint64_t)getpid(), number);
    part_name[0] = 0;
    append(part_name, "runtime."), append(part_name, host), append(part_name, "."), append(part_name, number);
    part_dir = dir;
    unlinkat(dir, part_name, 0);
    int part = openat(dir, part_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    if (part < 0) return ELSEWHERE;
    uint8_t digest[32];
    int write_failed = 0;
    Outcome outcome = ELSEWHERE;
    if (!faccessat(dir, part_name, X_OK, 0)) {  // refused on a mount that does not allow programs
        if (!copy(self, build->offset, build->size, part, digest, &write_failed))
            outcome = write_failed ? ELSEWHERE : DAMAGED;
        else if (!same_bytes(digest, build->sha256, 32))
            outcome = DAMAGED;
        else if (!fsync(part))
            outcome = READY;
    }
    if (close(part) && outcome == READY) outcome = ELSEWHERE;
    if (outcome == READY && renameat(dir, part_name, dir, "runtime")) outcome = ELSEWHERE;
    if (outcome != READY) unlinkat(dir, part_name, 0);
    else fsync(dir);
    part_name[0] = 0;
    return outcome;
}

// The program in `dir`, open, if it is there, has its size, and nobody else could have written it; else -1.
static int open_program(int dir, const Build *build) {
    struct stat facts;
    int file = openat(dir, "runtime", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0) return -1;
    if (!fstat(file, &facts) && S_ISREG(facts.st_mode) && is_own(&facts) && (uint64_t)facts.st_size == build->size)
        return file;
    close(file);
    return -1;
}

// Have the build ready below `place`, open as `*file`. Into a `shared` place others may put a link.
static Outcome try(int self, const Build *build, const char *place, int shared, int *file) {
    struct utsname system;
    char digest[65];
    hex(build->sha256, digest);
    if (!*place || uname(&system)) return ELSEWHERE;
    int dir = open_place(place, shared);
    if (dir >= 0) dir = enter(dir, "llamafile-format");
    if (dir >= 0) dir = enter(dir, "rt");
    if (dir >= 0) dir = enter(dir, digest);
    if (dir < 0) return ELSEWHERE;
    sweep(dir, system.nodename);
    Outcome outcome = READY;
    const char *verify = setting("LFF_VERIFY");
    *file = open_program(dir, build);
    if (*file >= 0 && *verify && !same(verify, "0") && !holds(*file, build)) close(*file), *file = -1;
    if (*file < 0) {
        outcome = extract(self, build, dir, system.nodename);
        if (outcome == READY) *file = open_program(dir, build);
    }
    if (outcome == READY && (*file < 0 || faccessat(dir, "runtime", X_OK, 0))) outcome = ELSEWHERE;
    close(dir);
    return outcome;
}

// The program in the first place that works, in the order of clause 14.2.8: its descriptor, and its path for people.
static int find_program(int self, const Build *build, const char *folder, char *path) {
    static char places[6][PATH_SIZE];
    char user[32] = "/lff-", digest[65];
    decimal((uint64_t)geteuid(), user + 5);
    append(places[0], setting("LFF_CACHE"));
    append(places[1], setting("XDG_CACHE_HOME"));
    if (!*places[1] && *setting("HOME")) append(places[1], setting("HOME")), append(places[1], "/.cache");
    append(places[2], setting("XDG_RUNTIME_DIR"));
    append(places[3], *setting("TMPDIR") ? setting("TMPDIR") : "/var/tmp"), append(places[3], user);
    append(places[4], "/tmp"), append(places[4], user);
    append(places[5], folder);
    for (int i = 0; i < 6; i++) {
        int file = -1;
        Outcome outcome = try(self, build, places[i], i == 3 || i == 4, &file);
        if (outcome == DAMAGED) fail(CANNOT_RUN, "the build for ", TARGET, " in this file is damaged (wrong SHA-256)");
        if (outcome != READY) continue;
        hex(build->sha256, digest);
        append(path, places[i]), append(path, "/llamafile-format/rt/"), append(path, digest), append(path, "/runtime");
        return file;
    }
    fail(CANNOT_RUN, "found no private directory that has room and allows programs to run; name one in LFF_CACHE", "", "");
}

static _Noreturn void no_build(const Index *index, const char *flavour) {
    say(self_name), say(": no build for " TARGET);
    if (*flavour) say(" ("), say(flavour), say(")");
    say(" in this file; it has:");
    for (uint32_t i = 0; i < index->count; i++)
        say(" "), say(index->builds[i].target), say("/"), say(index->builds[i].flavour);
    say(index->count ? "\n" : " none\n");
    exit(NOT_FOUND);
}

// This file, open for reading; `path` becomes its absolute path.
static int open_self(char *path) {
    if (readlink("/proc/self/exe", path, PATH_SIZE - 1) < 1) {
        const char *executed = (const char *)getauxval(AT_EXECFN);
        if (!executed || !realpath(executed, path)) fail(CANNOT_RUN, "cannot find this file: /proc is not there", "", "");
    }
    int self = open(path, O_RDONLY | O_CLOEXEC);
    if (self < 0) fail(CANNOT_RUN, "cannot read ", path, "");
    return self;
}

static void read_index(int self, Index *index) {
    struct stat facts;
    if (pread(self, index, sizeof *index, INDEX_OFFSET) != sizeof *index || !index_is_sound(index))
        fail(CANNOT_RUN, "the index of the launcher in this file is damaged", "", "");
    if (fstat(self, &facts) || (uint64_t)facts.st_size < index_end(index))
        fail(CANNOT_RUN, "this file is cut off", "", "");
}

static void set_environment(const Index *index, const char *path) {
    static const char *const foreign[] = {NOT_INHERITED, "LFF_WEIGHTS_OFFSET", "LFF_WEIGHTS_SIZE"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) unsetenv(foreign[i]);
    setenv("LFF_CONTAINER", path, 1);
    if (!index->weights_size) return;
    char number[24];
    decimal(index->weights_offset, number), setenv("LFF_WEIGHTS_OFFSET", number, 1);
    decimal(index->weights_size, number), setenv("LFF_WEIGHTS_SIZE", number, 1);
}

int main(int count, char **arguments) {
    static Index index;
    static char path[PATH_SIZE], folder[PATH_SIZE], program[PATH_SIZE];
    const char *slash = count ? strrchr(arguments[0], '/') : 0;
    self_name = slash ? slash + 1 : count ? arguments[0] : "llamafile";
    int self = open_self(path);
    read_index(self, &index);
    const char *flavour = setting("LFF_FLAVOUR");
    const Build *build = index_find(&index, TARGET, flavour);
    if (!build) no_build(&index, flavour);
    append(folder, path);
    *(strrchr(folder, '/') + (strrchr(folder, '/') == folder)) = 0;
    signal(SIGHUP, on_signal), signal(SIGINT, on_signal), signal(SIGTERM, on_signal);
    int file = find_program(self, build, folder, program);
    signal(SIGHUP, SIG_DFL), signal(SIGINT, SIG_DFL), signal(SIGTERM, SIG_DFL);
    set_environment(&index, path);
    if (count) arguments[0] = program;
    char magic[2];
    if (pread(file, magic, 2, 0) == 2 && magic[0] == '#' && magic[1] == '!')
        fcntl(file, F_SETFD, 0);  // a script, whose interpreter opens the descriptor by a path
    fexecve(file, arguments, environ);  // what was checked is what starts, whatever its name leads to by now
    fail(CANNOT_RUN, "cannot start ", program, "");
}
