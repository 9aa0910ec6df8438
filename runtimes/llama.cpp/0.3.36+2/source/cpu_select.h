// Which copies of the CPU kernels a processor can run: pure functions of what it and its system say, so that a test can ask
// about processors that are not here. Levels rise: the last one that a processor has is the one for it.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace lff {

inline bool all_bits(uint64_t word, std::initializer_list<int> bits) {
    for (int bit : bits) {
        if (!(word >> bit & 1)) {
            return false;
        }
    }
    return true;
}

// Words of CPUID by leaf, and the low half of XCR0 (0 where the system does not use XSAVE).
struct x86_words {
    uint32_t leaf1_c = 0;
    uint32_t leaf7_b = 0, leaf7_c = 0, leaf7_d = 0;
    uint32_t leaf7_1_a   = 0;
    uint32_t extended1_c = 0;  // leaf 0x80000001
    uint32_t xcr0        = 0;

    // x86-64 levels as in the psABI, and two with instructions that later processors add to them.
    enum level { v1, v3, v3_vnni, v4, v4_amx };
    static constexpr const char * NAMES[] = { "v1", "v3", "v3-vnni", "v4", "v4-amx" };

    bool has(level wanted) const {
        // What the system saves when it changes tasks: SSE and AVX state; 512-bit registers, three more; tiles, two more.
        constexpr uint32_t STATE_256 = 0x06, STATE_512 = 0xE6, STATE_TILES = 0x600E6;
        const auto saved = [this](uint32_t state) { return (xcr0 & state) == state; };
        switch (wanted) {
            case v1:
                return true;
            case v3:
                return saved(STATE_256) && all_bits(leaf1_c, { 12 /* fma */, 22 /* movbe */, 27 /* osxsave */, 28 /* avx */, 29 /* f16c */ }) &&
                       all_bits(leaf7_b, { 3 /* bmi1 */, 5 /* avx2 */, 8 /* bmi2 */ }) && all_bits(extended1_c, { 5 /* lzcnt */ });
            case v3_vnni:
                return has(v3) && all_bits(leaf7_1_a, { 4 /* avx-vnni */ });
            case v4:
                return has(v3) && saved(STATE_512) && all_bits(leaf7_b, { 16 /* f */, 17 /* dq */, 28 /* cd */, 30 /* bw */, 31 /* vl */ }) &&
                       all_bits(leaf7_c, { 1 /* vbmi */, 11 /* vnni */ }) && all_bits(leaf7_1_a, { 5 /* bf16 */ });
            case v4_amx:
                return has(v4) && saved(STATE_TILES) && all_bits(leaf7_d, { 24 /* amx-tile */, 25 /* amx-int8 */ });
        }
        return false;
    }
};

// AT_HWCAP and AT_HWCAP2 of Linux. Where another system is asked, its answers are put into these words.
struct arm_words {
    uint64_t hwcap = 0, hwcap2 = 0;

    static constexpr int FPHP = 9, ASIMDHP = 10, ASIMDDP = 20;  // bits of hwcap: half precision (two of them), dot products
    static constexpr int I8MM = 13;                             // of hwcap2: products of 8-bit matrices

    // Armv8-A; what processors have since Cortex-A75 and Apple M1; what they have since Neoverse V1 and Apple M2.
    enum level { v8, v8_2, v8_6 };
    static constexpr const char * NAMES[] = { "v8", "v8.2", "v8.6" };

    bool has(level wanted) const {
        switch (wanted) {
            case v8:   return true;
            case v8_2: return all_bits(hwcap, { FPHP, ASIMDHP, ASIMDDP });
            case v8_6: return has(v8_2) && all_bits(hwcap2, { I8MM });
        }
        return false;
    }
};

// What Linux says of a hart's extensions, and the hart itself of its vectors.
struct riscv_words {
    bool     probed = false;           // riscv_hwprobe answers: what it does not name is not there
    uint64_t extensions = 0;           // its word for them
    uint64_t hwcap      = 0;           // AT_HWCAP, all that there was before
    bool     vectors_1_0 = false;      // a vector type of version 1.0 is taken; asked only where hwcap says that there are vectors

    static constexpr int PROBE_V = 2, HWCAP_V = 'V' - 'A';

    enum level { rv64gc, rv64gcv };
    static constexpr const char * NAMES[] = { "rv64gc", "rv64gcv" };

    bool has(level wanted) const {
        // Old systems of processors with the draft 0.7.1 of vectors say V as well; these kernels are none for them.
        const bool vectors = probed ? all_bits(extensions, { PROBE_V }) : all_bits(hwcap, { HWCAP_V }) && vectors_1_0;
        return wanted == rv64gc || vectors;
    }
};

}
