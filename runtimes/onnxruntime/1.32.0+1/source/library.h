// The engine is a library that others built. The container carries it, and this program names it by digest (spec/1, 14.9.3).
#pragma once

#include "archive.h"

#include <string>
#include <vector>

namespace lff {

struct listed_library {
    std::string sha256, name;
    uint64_t    size = 0;
};

// What this program was built for.
std::vector<listed_library> listed_libraries();

// Takes every listed library out of the container into the private cache, under the launcher's rules for what lies there,
// hashes what it has there whatever was there before, and loads that very file. The handle of the last one. Throws
// std::runtime_error; nothing is loaded unless all digests are right.
void * load_libraries(const archive & container);

}
