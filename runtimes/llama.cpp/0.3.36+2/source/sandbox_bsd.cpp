// The sandbox on OpenBSD (unveil, pledge) and FreeBSD (Capsicum). Compiled, never run by us.
#include "sandbox.h"

#if defined(__OpenBSD__) || defined(__FreeBSD__)

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <sys/resource.h>
#include <unistd.h>

namespace lff {

// What a caller left open is not for the engine: one by one below the last that stays, and all above it at once.
void close_others(const grants & granted) {
    const std::vector<int> & kept = granted.descriptors;
    int last = 2;
    for (const int fd : kept) {
        last = std::max(last, fd);
    }
    for (int fd = 3; fd < last; fd++) {
        if (std::find(kept.begin(), kept.end(), fd) == kept.end()) {
            close(fd);
        }
    }
    closefrom(last + 1);
}

}

#endif

#if defined(__OpenBSD__)

namespace lff {
namespace {

void show(const std::string & path, const char * access) {
    if (unveil(path.c_str(), access) != 0 && errno != ENOENT) {
        throw std::runtime_error("the sandbox cannot be closed: " + path + ": " + strerror(errno));
    }
}

}

closed can_close() {
    closed found;
    found.privileges = found.files = found.calls = true;
    found.files_by = "unveil";
    found.calls_by = "pledge";
    return found;
}

// pledge knows connections only as a whole: with the right to accept comes that to connect.
closed close_sandbox(const grants & granted) {
    close_others(granted);
    const struct rlimit none = { 0, 0 };
    setrlimit(RLIMIT_CORE, &none);
    for (const auto * paths : { &granted.read, &granted.read_below }) {
        for (const std::string & path : *paths) {
            show(path, "r");
        }
    }
    for (const auto * paths : { &granted.write, &granted.write_below }) {
        for (const std::string & path : *paths) {
            show(path, "rwc");
        }
    }
    show("/dev/null", "r");
    if (pledge(granted.writes() ? "stdio error rpath wpath cpath inet unix" : "stdio error rpath inet unix", nullptr) != 0) {
        throw std::runtime_error(std::string("the sandbox cannot be closed: pledge: ") + strerror(errno));
    }
    return can_close();
}

}

#elif defined(__FreeBSD__)

#include <sys/procctl.h>

namespace lff {

// Capsicum's own mode opens nothing by name, and upstream opens by name: closed are privileges, and being traced.
closed can_close() {
    closed found;
    found.privileges = true;
    return found;
}

closed close_sandbox(const grants & granted) {
    close_others(granted);
    const struct rlimit none = { 0, 0 };
    setrlimit(RLIMIT_CORE, &none);
    int yes = PROC_NO_NEW_PRIVS_ENABLE;
    if (procctl(P_PID, 0, PROC_NO_NEW_PRIVS_CTL, &yes) != 0) {
        throw std::runtime_error(std::string("the sandbox cannot be closed: ") + strerror(errno));
    }
    return can_close();
}

}

#endif
