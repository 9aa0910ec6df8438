// Whether a GPU works here: found out by starting the gpu build once, in a process of its own and for so long, and
// remembered until something changes that could change the answer.
#pragma once

#include "gpu.h"
#include "gpu_build.h"

namespace lff {

struct verdict {
    static constexpr const char * works   = "works";
    static constexpr const char * none    = "none";     // no loader, no driver, or no device
    static constexpr const char * wrong   = "wrong";    // it computes something else
    static constexpr const char * crashed = "crashed";
    static constexpr const char * hung    = "hung";

    std::string word   = none;
    bool        is_new = false;  // found out in this run

    std::string text() const;  // for people, of what does not work
};

// Remembers in the build's folder. What crashed or hung is not asked again, by any start of the system, until the build or
// a driver's manifest changes; the rest once after each start. A device that the user names is asked unless it works.
verdict verdict_of(const opened_build & build, const gpu_wish & wish);

}
