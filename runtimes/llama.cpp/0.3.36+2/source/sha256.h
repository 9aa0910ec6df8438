// SHA-256 (FIPS 180-4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace lff {

class sha256 {
public:
    sha256 & update(const void * data, size_t size);
    // float32 values as little-endian bytes, whatever the machine's own order.
    sha256 &    update_floats(const float * values, size_t count);
    std::string hex();  // ends the computation

private:
    void     block(const unsigned char * bytes);
    uint32_t state[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    unsigned char pending[64];
    uint64_t      length = 0;  // bytes so far
};

std::string hex(const void * data, size_t size);
uint32_t    float_bits(float value);
uint64_t    double_bits(double value);

}
