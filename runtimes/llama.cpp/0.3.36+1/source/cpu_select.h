// Which copy of the CPU kernels a processor gets: a pure function of what CPUID and XGETBV say, so that a test can ask it
// about processors that are not here.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace lff {

// Words of CPUID by leaf, and the low half of XCR0 (0 where the system does not use XSAVE).
struct cpuid_words {
    uint32_t leaf1_c = 0;
    uint32_t leaf7_b = 0, leaf7_c = 0, leaf7_d = 0;
    uint32_t leaf7_1_a   = 0;
    uint32_t extended1_c = 0;  // leaf 0x80000001
    uint32_t xcr0        = 0;
};

// x86-64 levels as in the psABI, and two with instructions that later processors add to them.
enum class level { v1, v3, v3_vnni, v4, v4_amx };

constexpr const char * LEVEL_NAMES[] = { "v1", "v3", "v3-vnni", "v4", "v4-amx" };

inline level best_level(const cpuid_words & cpu) {
    const auto all = [](uint32_t word, std::initializer_list<int> bits) {
        for (int bit : bits) {
            if (!(word >> bit & 1)) {
                return false;
            }
        }
        return true;
    };
    // What the system saves when it changes tasks: SSE and AVX state; 512-bit registers, three more; tiles, two more.
    constexpr uint32_t STATE_256 = 0x06, STATE_512 = 0xE6, STATE_TILES = 0x600E6;
    const auto saved = [&](uint32_t state) { return (cpu.xcr0 & state) == state; };

    const bool v3 = saved(STATE_256) && all(cpu.leaf1_c, { 12 /* fma */, 22 /* movbe */, 27 /* osxsave */, 28 /* avx */, 29 /* f16c */ }) &&
                    all(cpu.leaf7_b, { 3 /* bmi1 */, 5 /* avx2 */, 8 /* bmi2 */ }) && all(cpu.extended1_c, { 5 /* lzcnt */ });
    if (!v3) {
        return level::v1;
    }
    const bool v4 = saved(STATE_512) && all(cpu.leaf7_b, { 16 /* f */, 17 /* dq */, 28 /* cd */, 30 /* bw */, 31 /* vl */ }) &&
                    all(cpu.leaf7_c, { 1 /* vbmi */, 11 /* vnni */ }) && all(cpu.leaf7_1_a, { 5 /* bf16 */ });
    if (!v4) {
        return all(cpu.leaf7_1_a, { 4 /* avx-vnni */ }) ? level::v3_vnni : level::v3;
    }
    return saved(STATE_TILES) && all(cpu.leaf7_d, { 24 /* amx-tile */, 25 /* amx-int8 */ }) ? level::v4_amx : level::v4;
}

}
