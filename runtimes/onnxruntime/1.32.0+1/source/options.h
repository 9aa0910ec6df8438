// What this program can be told on its command line.
#pragma once

#include <string>
#include <vector>

namespace lff {

enum class mode { tracing, completing, serving };

// Refuses what this program does not know in this mode, and numbers that are none: whoever gives a word that is passed
// over believes that it was heard. Throws usage_error.
void check_options(const std::vector<std::string> & arguments, mode wanted);

}
