#include "sandbox.h"

namespace lff {

namespace {

std::string both(const std::string & files, const std::string & calls) {
    return files + (files.empty() || calls.empty() ? "" : ", ") + calls;
}

std::string by(const std::string & what, const std::string & whom) {
    return whom.empty() ? what : what + " (" + whom + ")";
}

constexpr const char * FILES = "files", * CALLS = "programs and network";

}

std::string closed::text() const {
    return both(files ? by(FILES, files_by) : "", calls ? by(CALLS, calls_by) : "");
}

std::string closed::missing() const { return both(files ? "" : FILES, calls ? "" : CALLS); }

#if defined(__wasi__)

// The host's: files that it opened beforehand, no programs, no network.
closed can_close() {
    closed found;
    found.privileges = found.files = found.calls = true;
    found.files_by = found.calls_by = "WASI";
    return found;
}

void   close_others(const grants &) {}
closed close_sandbox(const grants &) { return can_close(); }

#elif !defined(__linux__) && !defined(__OpenBSD__) && !defined(__FreeBSD__)

// macOS has nothing that its vendor still documents, NetBSD nothing, and Windows nothing that a running program can do
// to itself.
closed can_close() { return {}; }
void   close_others(const grants &) {}
closed close_sandbox(const grants &) { return {}; }

#endif

}
