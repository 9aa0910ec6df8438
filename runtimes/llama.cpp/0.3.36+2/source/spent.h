// What a piece of work allocated, beside the limits of meter.h.
#pragma once

#include <cstdint>

namespace lff {

// What this thread may still allocate. The difference of two is what it allocated between.
int64_t left_over();

}
