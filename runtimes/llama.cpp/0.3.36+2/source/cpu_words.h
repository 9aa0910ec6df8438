// What the processor at hand says of itself (cpu_select.h).
#pragma once

#include "cpu_select.h"

namespace lff {

#if defined(__x86_64__)
using cpu_words = x86_words;
#elif defined(__aarch64__)
using cpu_words = arm_words;
#elif defined(__riscv)
using cpu_words = riscv_words;
#endif

cpu_words read_cpu();

}
