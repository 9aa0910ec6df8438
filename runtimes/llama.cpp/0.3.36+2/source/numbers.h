// Forced in front of upstream's json.cpp (CMakeLists.txt). The toolchain's C library stops reading an integer at the digit that makes it
// too large, and upstream's parser gives up where not all of a number was read: here the rest of it is read too.
#pragma once

#if defined(__cplusplus)

#include <cerrno>
#include <cstdlib>

namespace lff {

inline void to_the_last_digit(char ** end) {
    while (errno == ERANGE && **end >= '0' && **end <= '9') {
        ++*end;
    }
}

}

namespace std {

inline unsigned long long lff_strtoull(const char * text, char ** end, int base) {
    const unsigned long long value = strtoull(text, end, base);
    lff::to_the_last_digit(end);
    return value;
}

inline long long lff_strtoll(const char * text, char ** end, int base) {
    const long long value = strtoll(text, end, base);
    lff::to_the_last_digit(end);
    return value;
}

}

#include <string>  // what else names them comes first

#define strtoull lff_strtoull
#define strtoll lff_strtoll

#endif
