// One executable for every x86-64 processor. The engine's CPU kernels are compiled once for each level, with all external
// names of the later copies suffixed (cmake/kernels.cmake); this picks a copy at the first use.

#include "build.h"
#include "cpu_select.h"
#include "platform.h"

#include <cpuid.h>

typedef struct ggml_backend_reg * ggml_backend_reg_t;

extern "C" {
ggml_backend_reg_t ggml_backend_cpu_reg_v1(void);
ggml_backend_reg_t ggml_backend_cpu_reg_v3(void);
ggml_backend_reg_t ggml_backend_cpu_reg_v3_vnni(void);
ggml_backend_reg_t ggml_backend_cpu_reg_v4(void);
#if defined(LFF_AMX)
ggml_backend_reg_t ggml_backend_cpu_reg_v4_amx(void);
#endif
ggml_backend_reg_t ggml_backend_cpu_reg(void);
}

namespace {

constexpr int OSXSAVE = 27;  // bit of leaf 1, ecx: without it XGETBV is no instruction

lff::cpuid_words words() {
    lff::cpuid_words cpu;
    unsigned         a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) {
        return cpu;
    }
    cpu.leaf1_c = c;
    if (c >> OSXSAVE & 1) {
        unsigned high;
        __asm__ volatile("xgetbv" : "=a"(cpu.xcr0), "=d"(high) : "c"(0));
    }
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        cpu.leaf7_b = b;
        cpu.leaf7_c = c;
        cpu.leaf7_d = d;
        if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) {
            cpu.leaf7_1_a = a;
        }
    }
    if (__get_cpuid(0x80000001, &a, &b, &c, &d)) {
        cpu.extended1_c = c;
    }
    return cpu;
}

// LFF_CPU=v1, v3 … asks for less than there is, to reproduce what another machine did.
lff::level chosen_level() {
    static const lff::level chosen = [] {
        const lff::level  found  = lff::best_level(words());
        const std::string wanted = lff::environment("LFF_CPU");
        for (int i = 0; i < (int) found; i++) {
            // Of two that later processors divide, v3-vnni is not a part of v4: one asked for must be below, and had.
            const bool had = (lff::level) i != lff::level::v3_vnni;
            if (had && wanted == lff::LEVEL_NAMES[i]) {
                return (lff::level) i;
            }
        }
        return found;
    }();
    return chosen;
}

}

ggml_backend_reg_t ggml_backend_cpu_reg(void) {
    switch (chosen_level()) {
#if defined(LFF_AMX)
        case lff::level::v4_amx:  return ggml_backend_cpu_reg_v4_amx();
#else
        case lff::level::v4_amx:
#endif
        case lff::level::v4:      return ggml_backend_cpu_reg_v4();
        case lff::level::v3_vnni: return ggml_backend_cpu_reg_v3_vnni();
        case lff::level::v3:      return ggml_backend_cpu_reg_v3();
        default:                  return ggml_backend_cpu_reg_v1();
    }
}

namespace lff {

const char * cpu_level() { return LEVEL_NAMES[(int) chosen_level()]; }

}
