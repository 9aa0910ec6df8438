// Two processes. The outer one has read the directory and the manifest and holds the listening sockets; it never looks at
// data of a model or at a request. The inner one is its copy, closes the sandbox around itself, and does the rest.
#pragma once

#include "gpu.h"
#include "sandbox.h"

#include <functional>
#include <string>
#include <vector>

namespace lff {

// What the inner process is for.
struct errand {
    grants granted;
    bool   sandboxed = true;   // false: the user wants none
    bool   required  = false;  // LFF_SANDBOX=require: rather nothing than less than all of it
    bool   browser   = false;  // to be opened when the server answers

    std::vector<int> listening;  // the server's sockets; none: no server, and the process is not started again
    std::string      prefix;     // of the server's paths
    int              seconds = 0;  // that a request has, 0: no limit

    gpu_wish gpu = { true, -1 };  // off, but in a gpu build

    std::function<int()> work;  // in the inner process, in the sandbox; its result is the exit status
};

// Does the errand. Returns the exit status, or ends as the inner process ended: by the same signal.
int run_errand(const errand & given);

// One line: what the sandbox closes here, and what not.
std::string sandbox_line(const closed & shut);

}
