// Stands in for the header that upstream's generator writes. Its shaders are 42 MB and the same for every system and
// processor: they lie in the container, once, and here are only their names, sizes, and places in the archive of them.
#pragma once

#include <cstdint>

namespace lff {
extern unsigned char shader_archive[];  // empty until shaders.cpp has filled it
}

#define SHADER(name, offset, size)                \
    static constexpr uint64_t name##_len = size; \
    static const unsigned char * const name##_data = lff::shader_archive + offset;
#include "shaders.inc"
#undef SHADER
#include "tables.h"
