#include "cpu_words.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(_WIN32)
#include <windows.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#else
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace lff {

#if defined(__x86_64__)

cpu_words read_cpu() {
    constexpr int OSXSAVE = 27;  // bit of leaf 1, ecx: without it XGETBV is no instruction
    cpu_words     cpu;
    unsigned      a, b, c, d;
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

#elif defined(__aarch64__) && defined(_WIN32)

cpu_words read_cpu() {
    // Numbers of the SDK of Windows 11 24H2, of which older ones know the first alone; there the others are answered no.
    constexpr DWORD DOT_PRODUCTS = 43, MATRICES = 66;
    cpu_words       cpu;
    if (IsProcessorFeaturePresent(DOT_PRODUCTS)) {
        // Of half precision older systems know nothing. Every core that they run on got it with or before dot products.
        cpu.hwcap = 1u << cpu.ASIMDDP | 1u << cpu.FPHP | 1u << cpu.ASIMDHP;
    }
    if (IsProcessorFeaturePresent(MATRICES)) {
        cpu.hwcap2 = 1u << cpu.I8MM;
    }
    return cpu;
}

#elif defined(__aarch64__) && defined(__APPLE__)

cpu_words read_cpu() {
    cpu_words cpu;
    cpu.hwcap   = 1u << cpu.ASIMDDP | 1u << cpu.FPHP | 1u << cpu.ASIMDHP;  // the first Mac of that kind has them
    int    i8mm = 0;
    size_t size = sizeof i8mm;
    if (sysctlbyname("hw.optional.arm.FEAT_I8MM", &i8mm, &size, nullptr, 0) == 0 && i8mm) {
        cpu.hwcap2 = 1u << cpu.I8MM;
    }
    return cpu;
}

#elif defined(__aarch64__)

cpu_words read_cpu() {
    cpu_words cpu;
    cpu.hwcap  = getauxval(AT_HWCAP);
    cpu.hwcap2 = getauxval(AT_HWCAP2);
    return cpu;
}

#elif defined(__riscv)

namespace {

// Version 1.0 takes a type with tail and mask policies; version 0.7.1 refuses it, which the top bit of vtype tells.
bool takes_vectors_1_0() {
    long type;
    __asm__ volatile(
        ".option push\n"
        ".option arch, +v\n"
        "vsetvli t0, zero, e8, m1, ta, ma\n"
        "csrr %0, vtype\n"
        ".option pop"
        : "=r"(type)
        :
        : "t0");
    return type >= 0;
}

}

cpu_words read_cpu() {
    constexpr long PROBE = 258, EXTENSIONS = 4;  // riscv_hwprobe and RISCV_HWPROBE_KEY_IMA_EXT_0
    struct {
        int64_t  key;
        uint64_t value;
    } asked = { EXTENSIONS, 0 };
    cpu_words cpu;
    if (syscall(PROBE, &asked, 1, 0, nullptr, 0) == 0 && asked.key == EXTENSIONS) {
        cpu.probed     = true;
        cpu.extensions = asked.value;
    }
    cpu.hwcap       = getauxval(AT_HWCAP);
    cpu.vectors_1_0 = all_bits(cpu.hwcap, { cpu.HWCAP_V }) && takes_vectors_1_0();
    return cpu;
}

#endif

}
