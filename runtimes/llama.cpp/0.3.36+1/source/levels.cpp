// One executable for every x86-64 processor. The engine's CPU kernels are compiled three times, with all external names
// of the later copies suffixed (CMakeLists.txt); this picks a copy at the first use. x86-64 levels as in the psABI.

#include "build.h"
#include "platform.h"

#include <cpuid.h>

typedef struct ggml_backend_reg * ggml_backend_reg_t;

extern "C" {
ggml_backend_reg_t ggml_backend_cpu_reg_v1(void);
ggml_backend_reg_t ggml_backend_cpu_reg_v3(void);
ggml_backend_reg_t ggml_backend_cpu_reg_v4(void);
ggml_backend_reg_t ggml_backend_cpu_reg(void);
}

namespace {

bool bit(unsigned word, int n) { return word >> n & 1; }

// Bits of XCR0: what the operating system saves. SSE and AVX state, and for 512-bit registers three more.
constexpr unsigned STATE_256 = 0x06, STATE_512 = 0xE6;

int measure() {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) {
        return 1;
    }
    const bool osxsave = bit(c, 27), avx = bit(c, 28), f16c = bit(c, 29), fma = bit(c, 12), movbe = bit(c, 22);
    if (!osxsave || !avx || !f16c || !fma || !movbe) {
        return 1;
    }
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & STATE_256) != STATE_256 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        return 1;
    }
    unsigned a1, b1, c1, d1;
    const bool lzcnt = __get_cpuid(0x80000001, &a1, &b1, &c1, &d1) && bit(c1, 5);
    if (!bit(b, 5) /* avx2 */ || !bit(b, 3) /* bmi1 */ || !bit(b, 8) /* bmi2 */ || !lzcnt) {
        return 1;
    }
    const bool avx512 = bit(b, 16) && bit(b, 17) && bit(b, 28) && bit(b, 30) && bit(b, 31);  // f dq cd bw vl
    const bool more   = bit(c, 1) && bit(c, 11);                                              // vbmi vnni
    const bool bf16   = __get_cpuid_count(7, 1, &a1, &b1, &c1, &d1) && bit(a1, 5);
    return (low & STATE_512) == STATE_512 && avx512 && more && bf16 ? 4 : 3;
}

// LFF_CPU=v1 or v3 asks for less than there is, to reproduce what another machine did.
int level() {
    static const int chosen = [] {
        const int         found  = measure();
        const std::string wanted = lff::environment("LFF_CPU");
        return wanted == "v1" ? 1 : wanted == "v3" && found > 3 ? 3 : found;
    }();
    return chosen;
}

}

ggml_backend_reg_t ggml_backend_cpu_reg(void) {
    switch (level()) {
        case 4:  return ggml_backend_cpu_reg_v4();
        case 3:  return ggml_backend_cpu_reg_v3();
        default: return ggml_backend_cpu_reg_v1();
    }
}

namespace lff {

const char * cpu_level() {
    switch (level()) {
        case 4:  return "v4";
        case 3:  return "v3";
        default: return "v1";
    }
}

}
