// Directories of the private cache on Linux (specification 1.0, 14.2.8): who else could exchange what is in them?
#pragma once
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Nobody but this user can write there.
static int is_own(const struct stat *facts) {
    return facts->st_uid == geteuid() && !(facts->st_mode & (S_IWGRP | S_IWOTH));
}

// Nobody but this user and root can rename what belongs to them there.
static int is_firm(const struct stat *facts) {
    if (facts->st_uid && facts->st_uid != geteuid()) return 0;
    return !(facts->st_mode & (S_IWGRP | S_IWOTH)) || facts->st_mode & S_ISVTX;
}

static int same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

// Every directory from `dir` up to the root is firm.
static int is_firm_to_the_root(int dir) {
    struct stat root, facts;
    int firm, at = openat(dir, ".", O_PATH | O_DIRECTORY | O_CLOEXEC), ends = stat("/", &root);
    do {
        firm = at >= 0 && !ends && !fstat(at, &facts) && is_firm(&facts);
        if (!firm || same_file(&facts, &root)) break;
        int above = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        close(at);
        at = above;
    } while (1);
    if (at >= 0) close(at);
    return firm;
}

// Make the directories that lead to `path`, for this user alone.
static void make_way(const char *path) {
    char *way = strdup(path);
    for (char *c = way ? way + 1 : 0; c && *c; c++) {
        if (*c != '/') continue;
        *c = 0;
        mkdir(way, 0700);
        *c = '/';
    }
    free(way);
}

// Open the place `path`, made if it is not there; -1 if others could exchange a directory on the way. A `shared` place is
// made alone, and no link is followed to it.
static int open_place(const char *path, int shared) {
    if (!*path) return -1;
    if (!shared) make_way(path);
    mkdir(path, 0700);
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (shared ? O_NOFOLLOW : 0));
    if (dir >= 0 && !is_firm_to_the_root(dir)) close(dir), dir = -1;
    return dir;
}

// Open `name` in `parent`, made if it is not there, never through a link; -1 if it is not ours alone. Closes `parent`.
static int enter(int parent, const char *name) {
    struct stat facts;
    mkdirat(parent, name, 0700);
    int dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    close(parent);
    if (dir >= 0 && (fstat(dir, &facts) || !is_own(&facts))) close(dir), dir = -1;
    return dir;
}

// Take away what starts on this machine left in `dir` when they were killed: runtime.HOST.PROCESS.
static void sweep(int dir, const char *host) {
    int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = again >= 0 ? fdopendir(again) : 0;
    struct dirent *entry;
    size_t length = strlen(host);
    while (listing && (entry = readdir(listing))) {
        const char *name = entry->d_name;
        if (strncmp(name, "runtime.", 8) || strncmp(name + 8, host, length) || name[8 + length] != '.') continue;
        const char *digits = name + 9 + length;
        if (!*digits || digits[strspn(digits, "0123456789")] || strlen(digits) > 9) continue;
        if (kill((pid_t)atol(digits), 0)) unlinkat(dir, name, 0);
    }
    if (listing) closedir(listing);
}
