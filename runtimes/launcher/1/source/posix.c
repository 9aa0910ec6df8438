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
static char part_path[PATH_SIZE];  // what an interrupted extraction takes away again

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
    unlink(part_path);
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

// Nobody but this user can put anything into the directory.
static int is_private(int dir) {
    struct stat facts;
    return !fstat(dir, &facts) && facts.st_uid == geteuid() && !(facts.st_mode & (S_IWGRP | S_IWOTH));
}

// Open `name` in `parent`, made if it is not there, never through a link; -1 if it is not ours alone.
static int enter(int parent, const char *name) {
    mkdirat(parent, name, 0700);
    int dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (parent != AT_FDCWD) close(parent);
    if (dir >= 0 && !is_private(dir)) close(dir), dir = -1;
    return dir;
}

// Open the user's own directory `path`, made with its parents if it is not there.
static int open_place(const char *path) {
    char copy_of[PATH_SIZE] = "";
    append(copy_of, path);
    for (char *c = copy_of + 1; copy_of[0] && *c; c++) {
        if (*c != '/') continue;
        *c = 0;
        mkdir(copy_of, 0700);
        *c = '/';
    }
    mkdir(copy_of, 0700);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

// Write the build to `program` in `dir`, by a name of its own until it is whole and on the medium.
static Outcome extract(int self, const Build *build, int dir, const char *program) {
    struct utsname system;
    char number[24];
    decimal((uint64_t)getpid(), number);
    part_path[0] = 0;
    append(part_path, program), append(part_path, ".");
    append(part_path, uname(&system) ? "" : system.nodename), append(part_path, "."), append(part_path, number);
    unlink(part_path);
    int part = open(part_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    if (part < 0) return ELSEWHERE;
    uint8_t digest[32];
    int write_failed = 0;
    Outcome outcome = ELSEWHERE;
    if (!access(part_path, X_OK)) {  // refused on a mount that does not allow programs
        if (!copy(self, build->offset, build->size, part, digest, &write_failed))
            outcome = write_failed ? ELSEWHERE : DAMAGED;
        else if (!same_bytes(digest, build->sha256, 32))
            outcome = DAMAGED;
        else if (!fsync(part))
            outcome = READY;
    }
    if (close(part) && outcome == READY) outcome = ELSEWHERE;
    if (outcome == READY && rename(part_path, program)) outcome = ELSEWHERE;
    if (outcome != READY) unlink(part_path);
    else fsync(dir);
    return outcome;
}

// Have the build ready as `program`, below `place`. With `shared`, others may write around `place`.
static Outcome try(int self, const Build *build, const char *place, int shared, char *program) {
    char digest[65];
    hex(build->sha256, digest);
    program[0] = 0;
    append(program, place), append(program, "/llamafile-format/rt/"), append(program, digest);
    append(program, "/runtime");
    if (!*place || !*program) return ELSEWHERE;
    int dir = shared ? enter(AT_FDCWD, place) : open_place(place);
    if (dir >= 0) dir = enter(dir, "llamafile-format");
    if (dir >= 0) dir = enter(dir, "rt");
    if (dir >= 0) dir = enter(dir, digest);
    if (dir < 0) return ELSEWHERE;
    Outcome outcome = ELSEWHERE;
    struct stat facts;
    int file = openat(dir, "runtime", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int ready = file >= 0 && !fstat(file, &facts) && S_ISREG(facts.st_mode) && facts.st_uid == geteuid() &&
                !(facts.st_mode & (S_IWGRP | S_IWOTH)) && (uint64_t)facts.st_size == build->size;
    const char *verify = setting("LFF_VERIFY");
    if (ready && *verify && !same(verify, "0")) ready = holds(file, build);
    if (file >= 0) close(file);
    if (!ready) outcome = extract(self, build, dir, program);
    else if (!access(program, X_OK)) outcome = READY;
    close(dir);
    return outcome;
}

// The first place that works, in the order of clause 14.2.9.
static void find_place(int self, const Build *build, const char *folder, char *program) {
    char places[6][PATH_SIZE] = {""}, user[32] = "/lff-";
    decimal((uint64_t)geteuid(), user + 5);
    append(places[0], setting("LFF_CACHE"));
    append(places[1], setting("XDG_CACHE_HOME"));
    if (!*places[1] && *setting("HOME")) append(places[1], setting("HOME")), append(places[1], "/.cache");
    append(places[2], setting("XDG_RUNTIME_DIR"));
    append(places[3], *setting("TMPDIR") ? setting("TMPDIR") : "/var/tmp"), append(places[3], user);
    append(places[4], "/tmp"), append(places[4], user);
    append(places[5], folder);
    for (int i = 0; i < 6; i++) {
        Outcome outcome = try(self, build, places[i], i >= 3, program);
        if (outcome == READY) return;
        if (outcome == DAMAGED) fail(CANNOT_RUN, "the build for ", TARGET, " in this file is damaged (wrong SHA-256)");
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

int main(int count, char **arguments) {
    static Index index;
    static char path[PATH_SIZE], folder[PATH_SIZE], program[PATH_SIZE];
    const char *slash = count ? strrchr(arguments[0], '/') : 0;
    self_name = slash ? slash + 1 : count ? arguments[0] : "llamafile";
    if (readlink("/proc/self/exe", path, sizeof path - 1) < 1) {
        const char *executed = (const char *)getauxval(AT_EXECFN);
        if (!executed || !realpath(executed, path)) fail(CANNOT_RUN, "cannot find this file: /proc is not there", "", "");
    }
    int self = open(path, O_RDONLY | O_CLOEXEC);
    if (self < 0) fail(CANNOT_RUN, "cannot read ", path, "");
    if (pread(self, &index, sizeof index, INDEX_OFFSET) != sizeof index || !index_is_sound(&index))
        fail(CANNOT_RUN, "the index of the launcher in this file is damaged", "", "");
    const char *flavour = setting("LFF_FLAVOUR");
    const Build *build = index_find(&index, TARGET, flavour);
    if (!build) no_build(&index, flavour);
    append(folder, path);
    *(strrchr(folder, '/') + (strrchr(folder, '/') == folder)) = 0;
    signal(SIGHUP, on_signal), signal(SIGINT, on_signal), signal(SIGTERM, on_signal);
    find_place(self, build, folder, program);
    signal(SIGHUP, SIG_DFL), signal(SIGINT, SIG_DFL), signal(SIGTERM, SIG_DFL);
    setenv("LFF_CONTAINER", path, 1);
    unsetenv("LFF_WEIGHTS_OFFSET"), unsetenv("LFF_WEIGHTS_SIZE");
    if (index.weights_size) {
        char number[24];
        decimal(index.weights_offset, number), setenv("LFF_WEIGHTS_OFFSET", number, 1);
        decimal(index.weights_size, number), setenv("LFF_WEIGHTS_SIZE", number, 1);
    }
    if (count) arguments[0] = program;
    execv(program, arguments);
    fail(CANNOT_RUN, "cannot start ", program, "");
}
