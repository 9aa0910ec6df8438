#include "gpu_build.h"

#if defined(__linux__)

#include "build.h"
#include "canonical.h"
#include "platform.h"
#include "sha256.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

namespace lff {
namespace {

constexpr uint64_t MAX_BUILD = 256u << 20;  // bytes
constexpr size_t   PIECE     = 1u << 20;
constexpr size_t   DIGEST    = 64;          // digits

bool is_private(const std::string & folder) {
    struct stat info;
    return lstat(folder.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == geteuid() && (info.st_mode & 077) == 0;
}

// The cache's folder of programs, if this program was started from there: CACHE/rt/SHA256/runtime, nobody else's.
std::string cache_of_this() {
    char          path[4096];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
    std::string   rest(path, length < 0 || length == (ssize_t) sizeof path ? 0 : (size_t) length);
    const std::string tail = "/runtime";
    if (rest.size() < tail.size() + DIGEST + 4 || rest.compare(rest.size() - tail.size(), tail.size(), tail) != 0) {
        return "";
    }
    const std::string own   = rest.substr(0, rest.size() - tail.size());
    const std::string cache = own.substr(0, own.rfind('/'));
    const bool        named = own.size() - cache.size() == DIGEST + 1 && cache.compare(cache.size() - 3, 3, "/rt") == 0;
    return named && is_private(own) && is_private(cache) ? cache : "";
}

[[noreturn]] void fail(const std::string & what) { throw std::runtime_error("the gpu build cannot be unpacked: " + what + ": " + strerror(errno)); }

// Copies the member and compares its digest on the way.
void copy(const gpu_build & build, int to) {
    sha256      digest;
    std::string piece;
    for (uint64_t at = 0; at < build.place.size; at += piece.size()) {
        piece.resize((size_t) std::min<uint64_t>(PIECE, build.place.size - at));
        if (!container().file->read(build.place.offset + at, &piece[0], piece.size())) {
            fail("the file cannot be read");
        }
        digest.update(piece.data(), piece.size());
        for (size_t done = 0; done < piece.size();) {
            const ssize_t written = write(to, piece.data() + done, piece.size() - done);
            if (written <= 0) {
                fail("there is no room");
            }
            done += (size_t) written;
        }
    }
    if (digest.hex() != build.sha256) {
        throw std::runtime_error("the gpu build in this file is damaged (wrong SHA-256)");
    }
}

bool has_digest(int fd, const gpu_build & build) {
    sha256      digest;
    std::string piece(PIECE, '\0');
    for (uint64_t at = 0; at < build.place.size;) {
        const ssize_t got = pread(fd, &piece[0], piece.size(), (off_t) at);
        if (got <= 0) {
            return false;
        }
        digest.update(piece.data(), (size_t) got);
        at += (uint64_t) got;
    }
    return digest.hex() == build.sha256;
}

// What an earlier start unpacked. It got its name when it was complete; LFF_VERIFY=1 looks again.
int open_unpacked(const std::string & path, const gpu_build & build) {
    const int   fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat info;
    const bool  sound = fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_uid == geteuid() && (uint64_t) info.st_size == build.place.size;
    if (sound && (environment("LFF_VERIFY") != "1" || has_digest(fd, build))) {
        return fd;
    }
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

void unpack(const std::string & path, const gpu_build & build) {
    struct utsname host = {};
    uname(&host);
    const std::string partial = path + "." + (host.nodename[0] != '\0' ? host.nodename : "host") + "." + std::to_string(getpid());
    const int         fd      = open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0700);
    if (fd < 0) {
        fail(partial);
    }
    try {
        copy(build, fd);
        close(fd);
        if (rename(partial.c_str(), path.c_str()) != 0) {
            fail(path);
        }
    } catch (...) {
        close(fd);
        unlink(partial.c_str());
        throw;
    }
}

}

std::optional<gpu_build> find_gpu_build() {
    const std::string path     = std::string("runtimes/llama.cpp/") + ENGINE_VERSION + "/gpu/" + TARGET;
    const member *    found    = container().find(path);
    const member *    manifest = container().find("META-LLAMAFILE/manifest.json");
    if (found == nullptr || manifest == nullptr || found->size > MAX_BUILD) {
        return std::nullopt;
    }
    const json_value   read    = read_canonical(container().read(*manifest, MAX_MANIFEST));
    const json_value * members = read.field("members");
    for (const json_value & m : members != nullptr ? members->items : std::vector<json_value>()) {
        if (m.text_of("path") == path && m.text_of("role") == "runtime") {
            return gpu_build{ *found, m.text_of("sha256") };
        }
    }
    return std::nullopt;
}

opened_build::opened_build(opened_build && other) noexcept : fd(other.fd), folder(std::move(other.folder)), sha256(std::move(other.sha256)) {
    other.fd = -1;
}

opened_build::~opened_build() {
    if (fd >= 0) {
        close(fd);
    }
}

opened_build open_gpu_build(const gpu_build & build) {
    opened_build      opened;
    const std::string cache = build.sha256.size() == DIGEST ? cache_of_this() : "";
    opened.sha256           = build.sha256;
    if (!cache.empty()) {
        const std::string folder = cache + "/" + build.sha256, path = folder + "/runtime";
        mkdir(folder.c_str(), 0700);
        if (is_private(folder)) {
            opened.fd = open_unpacked(path, build);
            if (opened.fd < 0) {
                unpack(path, build);
                opened.fd = open_unpacked(path, build);
            }
            opened.folder = folder;
        }
    }
    if (opened.fd < 0) {
        opened.folder.clear();
        opened.fd = (int) syscall(SYS_memfd_create, "llamafile-gpu", MFD_CLOEXEC);  // the C library may be older than the call
        if (opened.fd < 0) {
            fail("there is no memory");
        }
        copy(build, opened.fd);
    }
    return opened;
}

}

#endif
