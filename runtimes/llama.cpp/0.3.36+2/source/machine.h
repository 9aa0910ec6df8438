// What this machine has for the engine: less than it has at all, where a container or its user set limits.
#pragma once

#include <cstdint>

namespace lff {

// Processor cores that this process may run on at once, at least 1: siblings of a core count once, and a quota of the
// control group as what it amounts to.
int cores();

// Bytes of memory, within the limits of the control group and of the process.
int64_t memory();

// Threads for a model of so many bytes of weights (0: not known).
int threads_for(int64_t weights);

}
