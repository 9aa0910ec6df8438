// The member .args: default arguments, in the dialect of the engine that reads them (spec/1.0, 3.8). This runtime reads the
// native one; the others are for telling what a file will run.
#pragma once

#include <string>
#include <vector>

namespace lff {

constexpr size_t MAX_ARGUMENTS_SIZE = 65536;  // bytes, 3.8.1
constexpr size_t MAX_ARGUMENTS      = 4096;

enum class dialect { lines, quoted, zip_quoted, native };

// The user's own arguments go in before tokens[rest]; without `...`, `rest` is -1 and they come last (3.8.6). Variables
// are never looked up, and stand in the text as ${NAME}.
struct parsed_arguments {
    std::vector<std::string> tokens;
    int                      rest    = -1;
    bool                     dropped = false;  // there were more than MAX_ARGUMENTS
};

// Data of more than MAX_ARGUMENTS_SIZE is not read, and what is behind MAX_ARGUMENTS is dropped.
parsed_arguments parse_arguments(const std::string & data, dialect d);

}
