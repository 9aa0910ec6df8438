// What others wrote, on its way to somebody's terminal. Also forced in front of those of upstream's sources that print by themselves
// (cmake/server.cmake).
#pragma once

#if defined(__cplusplus)

#include <cstddef>
#include <cstdio>
#include <string>

namespace lff {

constexpr size_t MAX_SAID = 4096;  // bytes of one message

// The text with what would act on a terminal, or is not UTF-8, written \xNN. A line that is not the first is indented: nobody's
// bytes look like a message of their own. No more than `most` bytes of it.
std::string escaped(const std::string & text, size_t most = MAX_SAID);

// As fprintf(), escaped.
int say(FILE * file, const char * format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

}

#if defined(LFF_SAY)
#  define fprintf lff::say
#endif

#endif
