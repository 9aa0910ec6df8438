// A process shuts itself in: from then on it can use what it has and what it was granted, and nothing else. It needs
// nothing of the runtime, so that a test can link a hostile program with these very objects.
#pragma once

#include <string>
#include <vector>

namespace lff {

// What stays open. Everything here was named by the user, or is the container.
struct grants {
    std::vector<std::string> read;          // files
    std::vector<std::string> read_below;    // folders, with all that is in them
    std::vector<std::string> write;         // files; made if they are missing
    std::vector<std::string> write_below;   // folders
    std::vector<int>         descriptors;   // that stay open, beside 0, 1 and 2

    bool gpu      = false;  // the nodes of graphics processors, and what their drivers read
    bool relaxed  = false;  // the user named the device: its driver may load libraries, make code, open nodes again

    bool writes() const { return !write.empty() || !write_below.empty(); }
};

// What was closed. A system may offer less than all.
struct closed {
    bool privileges = false;  // no program that it starts can have more rights than it has
    bool files      = false;  // only granted files can be opened
    bool calls      = false;  // no programs, connections, other processes, and none of the kernel's rarer calls
    std::string files_by, calls_by;  // what keeps them, for people

    bool everything() const { return privileges && files && calls; }
    std::string text() const;     // "files (Landlock 7), programs and network (seccomp)"; what of it is closed
    std::string missing() const;  // the same of what is not; empty if all is
};

// What this system offers, without closing anything.
closed can_close();

// Closes what a caller left open and nobody granted. The sandbox does so itself, but for a GPU's driver: what that one has
// opened stays, so this comes before it is loaded.
void close_others(const grants & granted);

// Closes the sandbox around this process, for good. It must have one thread, unless a driver of a GPU has started more:
// calls are closed to those too, so that they write nothing; but files that they could read before they still can, so
// with them nothing may be granted to be written. Throws std::runtime_error if something granted is not there, or if the
// system refuses what it said it offers.
closed close_sandbox(const grants & granted);

}
