#include "library.h"

#include "listed.h"
#include "platform.h"
#include "sha256.h"

#include "cache.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <dlfcn.h>
#include <sstream>

namespace lff {
namespace {

constexpr size_t PIECE = 1u << 20;

std::string folder_of() { return std::string("runtimes/onnxruntime/") + LFF_ENGINE_VERSION + "/lib/" + LFF_TARGET + "/"; }

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

// Copies the member to a name of this process and gives it its own in one step.
bool extract(const archive & container, const member & m, int dir, const listed_library & wanted) {
    char host[64] = "";
    gethostname(host, sizeof host - 1);
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
    return good;
}

// The member has the digest: looked at before anything of it is written.
void check_member(const archive & container, const member & m, const listed_library & wanted) {
    sha256            digest;
    std::vector<char> piece(PIECE);
    for (uint64_t at = 0; at < m.size; at += piece.size()) {
        const size_t count = (size_t) std::min<uint64_t>(piece.size(), m.size - at);
        if (!container.file->read(m.offset + at, piece.data(), count)) {
            throw archive_error("member " + m.name + " cannot be read");
        }
        digest.update(piece.data(), count);
    }
    if (m.size != wanted.size || digest.hex() != wanted.sha256) {
        throw archive_error(m.name + " is not the library that this program was built for: its SHA-256 would be " + wanted.sha256);
    }
}

struct place {
    std::string path;
    bool        shared;  // a folder for temporary files: no link is followed to it
};

// In the launcher's order (14.2.8).
std::vector<place> places() {
    const std::string  user = "lff-" + std::to_string(geteuid());
    std::vector<place> found;
    const auto         add = [&](const std::string & base, const std::string & rest, bool shared) {
        if (!base.empty()) {
            found.push_back({ base + rest, shared });
        }
    };
    add(environment("LFF_CACHE"), "", false);
    if (!environment("XDG_CACHE_HOME").empty()) {
        add(environment("XDG_CACHE_HOME"), "", false);
    } else {
        add(environment("HOME"), "/.cache", false);
    }
    add(environment("XDG_RUNTIME_DIR"), "", false);
    add(environment("TMPDIR").empty() ? "/var/tmp" : environment("TMPDIR"), "/" + user, true);
    add("/tmp", "/" + user, true);
    return found;
}

// An open descriptor of the library in the cache; -1 if this place does not do.
int at_place(const place & where, const archive & container, const member & m, const listed_library & wanted) {
    int dir = open_place(where.path.c_str(), where.shared);
    for (const char * name : { "llamafile-format", "rt", wanted.sha256.c_str() }) {
        dir = dir < 0 ? dir : enter(dir, name);
    }
    if (dir < 0) {
        return -1;
    }
    int file = open_kept(dir, wanted);
    if (file < 0) {
        check_member(container, m, wanted);
        file = extract(container, m, dir, wanted) ? open_kept(dir, wanted) : -1;
    }
    close(dir);
    return file;
}

int kept(const archive & container, const listed_library & wanted) {
    const std::string name = folder_of() + wanted.name;
    const member *    m    = container.find(name);
    if (m == nullptr) {
        throw archive_error("the library " + name + " is not in the file, and this program is nothing without it");
    }
    for (const place & where : places()) {
        const int file = at_place(where, container, *m, wanted);
        if (file >= 0) {
            return file;
        }
    }
    throw std::runtime_error("there is no place for the engine's library that nobody else can change; name one with LFF_CACHE");
}

}

std::vector<listed_library> listed_libraries() {
    std::istringstream          lines(LISTED);
    std::string                 line;
    std::vector<listed_library> found;
    std::getline(lines, line);
    while (std::getline(lines, line)) {
        listed_library     one;
        std::istringstream words(line);
        if (words >> one.sha256 >> one.size >> one.name) {
            found.push_back(one);
        }
    }
    return found;
}

void * load_libraries(const archive & container) {
    if (container.file == nullptr) {
        throw std::runtime_error("the engine is a library in a container, and there is no container");
    }
    std::vector<int> files;
    for (const listed_library & wanted : listed_libraries()) {
        files.push_back(kept(container, wanted));
    }
    void * handle = nullptr;
    for (const int file : files) {  // by the descriptor that was hashed, whatever its name leads to by now
        handle = dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL);
        if (handle == nullptr) {
            throw std::runtime_error(std::string("the engine's library cannot be loaded: ") + dlerror());
        }
    }
    return handle;
}

}
