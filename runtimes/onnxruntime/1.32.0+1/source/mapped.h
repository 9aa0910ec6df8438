// Members of the container where they lie: nothing of them is copied.
#pragma once

#include "archive.h"

namespace lff {

// The bytes of `m`, for as long as this program runs. Throws std::runtime_error.
char * mapped(const member & m);

}
