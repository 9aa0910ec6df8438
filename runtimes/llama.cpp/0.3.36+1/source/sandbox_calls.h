// The system calls that a process in the sandbox may make (Linux).
#pragma once

namespace lff {

bool can_filter_calls();

// From here on, a call that is not on the list fails with EPERM. With `writing`, files may be opened for writing, as far as
// Landlock grants them. Throws std::runtime_error if the kernel refuses the filter.
void filter_calls(bool writing);

}
