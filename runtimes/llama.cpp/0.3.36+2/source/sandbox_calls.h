// The system calls that a process in the sandbox may make (Linux).
#pragma once

namespace lff {

bool can_filter_calls();

struct allowed_calls {
    bool writing = false;  // files may be opened for writing, as far as Landlock grants them
    bool gpu     = false;  // drivers of graphics processors may talk to theirs
    bool relaxed = false;  // and load libraries, make code, and open their nodes
};

// From here on, a call that is not on the list fails with EPERM, on every thread of this process. Throws
// std::runtime_error if the kernel refuses the filter.
void filter_calls(const allowed_calls & wanted);

}
