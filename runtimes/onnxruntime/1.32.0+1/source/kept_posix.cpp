#include "kept.h"

#include "platform.h"
#include "sha256.h"

#if defined(__APPLE__)
#  define O_PATH O_RDONLY  // folders on the way are opened to be looked at; there is no narrower way there
#endif
#include "cache.h"

#if defined(__APPLE__)
#  include <sys/mount.h>
#  include <sys/param.h>
#else
#  include <sys/statvfs.h>
#endif

#include <algorithm>
#include <cstdio>
#include <dlfcn.h>
#include <stdexcept>
#include <vector>

namespace lff {
namespace {

bool has_digest(int file, const listed_library & wanted) {
    sha256            digest;
    std::vector<char> piece(PIECE);
    uint64_t          at = 0;
    for (ssize_t got; (got = pread(file, piece.data(), piece.size(), (off_t) at)) > 0; at += (uint64_t) got) {
        digest.update(piece.data(), (size_t) got);
    }
    return at == wanted.size && digest.hex() == wanted.sha256;
}

// The file in `dir`, if it is there, nobody else's, and the right one; else -1.
int open_kept(int dir, const listed_library & wanted) {
    const int   file = openat(dir, wanted.name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat facts;
    if (file >= 0 && (fstat(file, &facts) != 0 || !S_ISREG(facts.st_mode) || !is_own(&facts) || !has_digest(file, wanted))) {
        close(file);
        return -1;
    }
    return file;
}

// Copies the member to a name of this process and gives it its own in one step, if there is room.
void extract(const archive & container, const member & m, int dir, const listed_library & wanted) {
    char host[64] = "";
    gethostname(host, sizeof host - 1);
    sweep(dir, host);
    const std::string partial = "runtime." + std::string(host) + "." + std::to_string(getpid());
    const int         file    = openat(dir, partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0700);
    std::vector<char> piece(PIECE);
    bool              good = file >= 0;
    for (uint64_t at = 0; good && at < m.size; at += piece.size()) {
        const size_t count = (size_t) std::min<uint64_t>(piece.size(), m.size - at);
        good               = container.file->read(m.offset + at, piece.data(), count) && write(file, piece.data(), count) == (ssize_t) count;
    }
    if (file >= 0) {
        good = close(file) == 0 && good;
    }
    good = good && renameat(dir, partial.c_str(), dir, wanted.name.c_str()) == 0;
    if (!good) {
        unlinkat(dir, partial.c_str(), 0);
    }
}

struct place {
    std::string path;
    bool        shared;  // a folder for temporary files: no link is followed to it
};

// In the launcher's order (14.2.8).
std::vector<place> places(const archive & container) {
    const std::string  user = "lff-" + std::to_string(geteuid());
    std::vector<place> found;
    const auto         add = [&](const std::string & base, const std::string & rest, bool shared) {
        if (!base.empty()) {
            found.push_back({ base + rest, shared });
        }
    };
    add(environment("LFF_CACHE"), "", false);
#if defined(__APPLE__)
    add(environment("HOME"), "/Library/Caches", false);
#else
    if (!environment("XDG_CACHE_HOME").empty()) {
        add(environment("XDG_CACHE_HOME"), "", false);
    } else {
        add(environment("HOME"), "/.cache", false);
    }
#endif
    add(environment("XDG_RUNTIME_DIR"), "", false);
    add(environment("TMPDIR").empty() ? "/var/tmp" : environment("TMPDIR"), "/" + user, true);
    add("/tmp", "/" + user, true);
    add(container.path.substr(0, container.path.rfind('/') + 1), "", false);
    return found;
}

// Whether code in files of this folder may be run: a mount can forbid it, and then another place has to do.
bool runs(int dir) {
#if defined(__APPLE__)
    struct statfs facts;
    return fstatfs(dir, &facts) == 0 && (facts.f_flags & MNT_NOEXEC) == 0;
#else
    struct statvfs facts;
    return fstatvfs(dir, &facts) == 0 && (facts.f_flag & ST_NOEXEC) == 0;
#endif
}

#if defined(__APPLE__)

// A name without links, of folders that were judged: what the open file is called.
std::string name_of(int file) {
    char path[MAXPATHLEN];
    if (fcntl(file, F_GETPATH, path) != 0) {
        throw std::runtime_error("the engine's library has no name that it can be loaded by");
    }
    for (const char * name : { "DYLD_LIBRARY_PATH", "DYLD_FRAMEWORK_PATH", "DYLD_VERSIONED_LIBRARY_PATH", "DYLD_VERSIONED_FRAMEWORK_PATH", "DYLD_IMAGE_SUFFIX" }) {
        if (!environment(name).empty()) {
            throw std::runtime_error(std::string(name) + " is set, and would put another library in the place of the engine's; start without it");
        }
    }
    return path;
}

#else

// Whatever its name leads to by now.
std::string name_of(int file) { return "/proc/self/fd/" + std::to_string(file); }

#endif

class kept_file : public kept_library {
public:
    kept_file(int file, std::string path) : file(file), path(std::move(path)) {}
    ~kept_file() override { close(file); }

    void * load() const override {
        void * const handle = dlopen(name_of(file).c_str(), RTLD_NOW | RTLD_LOCAL);
        if (handle == nullptr) {
            throw std::runtime_error("the engine's library " + path + " cannot be loaded: " + dlerror());
        }
        return handle;
    }

private:
    int         file;
    std::string path;
};

// The library in the cache; null if this place does not do.
std::unique_ptr<kept_library> at_place(const place & where, const archive & container, const member & m, const listed_library & wanted) {
    std::string path = where.path;
    int         dir  = open_place(path.c_str(), where.shared);
    for (const char * name : { "llamafile-format", "rt", wanted.sha256.c_str() }) {
        dir = dir < 0 ? dir : enter(dir, name);
        path += std::string("/") + name;
    }
    if (dir < 0) {
        return nullptr;
    }
    if (!runs(dir)) {
        close(dir);
        return nullptr;
    }
    int file = open_kept(dir, wanted);
    if (file < 0) {
        try {
            check_member(container, m, wanted);
        } catch (...) {
            close(dir);
            throw;
        }
        extract(container, m, dir, wanted);
        file = open_kept(dir, wanted);  // also where another start was faster
    }
    close(dir);
    return file < 0 ? nullptr : std::make_unique<kept_file>(file, path + "/" + wanted.name);
}

}

std::unique_ptr<kept_library> keep(const archive & container, const member & m, const listed_library & wanted) {
    for (const place & where : places(container)) {
        if (std::unique_ptr<kept_library> found = at_place(where, container, m, wanted)) {
            return found;
        }
    }
    throw std::runtime_error("there is no place for the engine's library that nobody else can change; name one with LFF_CACHE");
}

void * function_of(void * library, const char * name) { return dlsym(library, name); }

}
