#include "sha256.h"

#include <algorithm>
#include <cstring>

namespace lff {
namespace {

constexpr uint32_t ROUND[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

}

void sha256::block(const unsigned char * bytes) {
    uint32_t w[64];
    for (int i = 0; i < 16; i++) {
        w[i] = (uint32_t) bytes[4 * i] << 24 | (uint32_t) bytes[4 * i + 1] << 16 | (uint32_t) bytes[4 * i + 2] << 8 | bytes[4 * i + 3];
    }
    for (int i = 16; i < 64; i++) {
        const uint32_t a = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        const uint32_t b = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    uint32_t s[8];
    std::copy(state, state + 8, s);
    for (int i = 0; i < 64; i++) {
        const uint32_t t = s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + ROUND[i] + w[i];
        const uint32_t u = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        std::copy_backward(s, s + 7, s + 8);
        s[4] += t;
        s[0] = t + u;
    }
    for (int i = 0; i < 8; i++) {
        state[i] += s[i];
    }
}

sha256 & sha256::update(const void * data, size_t size) {
    const unsigned char * bytes = (const unsigned char *) data;
    while (size > 0) {
        const size_t held = length % 64, take = std::min<size_t>(64 - held, size);
        memcpy(pending + held, bytes, take);
        length += take;
        bytes += take;
        size -= take;
        if (length % 64 == 0) {
            block(pending);
        }
    }
    return *this;
}

sha256 & sha256::update_floats(const float * values, size_t count) {
    unsigned char bytes[4096];
    for (size_t i = 0; i < count;) {
        size_t filled = 0;
        for (; i < count && filled < sizeof bytes; i++) {
            const uint32_t bits = float_bits(values[i]);
            for (int k = 0; k < 4; k++) {
                bytes[filled++] = (unsigned char) (bits >> 8 * k);
            }
        }
        update(bytes, filled);
    }
    return *this;
}

std::string sha256::hex() {
    const uint64_t      bits = length * 8;
    const unsigned char one = 0x80, zero = 0;
    update(&one, 1);
    while (length % 64 != 56) {
        update(&zero, 1);
    }
    unsigned char end[8];
    for (int i = 0; i < 8; i++) {
        end[i] = (unsigned char) (bits >> (56 - 8 * i));
    }
    update(end, 8);
    unsigned char digest[32];
    for (int i = 0; i < 32; i++) {
        digest[i] = (unsigned char) (state[i / 4] >> (24 - 8 * (i % 4)));
    }
    return lff::hex(digest, sizeof digest);
}

std::string hex(const void * data, size_t size) {
    static const char digits[] = "0123456789abcdef";
    std::string out;
    for (size_t i = 0; i < size; i++) {
        const unsigned char byte = ((const unsigned char *) data)[i];
        out += digits[byte >> 4];
        out += digits[byte & 15];
    }
    return out;
}

uint32_t float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

uint64_t double_bits(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

}
