// Forced in front of upstream's server-context.cpp (cmake/server.cmake). Upstream's server tells who asked what a device failed
// at, and would fail for everybody from then on. Here the process ends, and the outer one starts it again on the CPU.
#pragma once

#include "llama.h"

#include <exception>
#include <string>

namespace lff {

void blame_device(const std::string & what);  // crash.h

template <typename Act> auto on_device(Act act) {
    try {
        return act();
    } catch (const std::exception & error) {
        blame_device(error.what());
        throw;
    }
}

constexpr int32_t COMPUTE_FAILED = -2;  // and below; -1 is a batch that is none, 0 done, more than 0 want of room

inline int32_t process(llama_context * context, enum llama_process_type type, struct llama_batch_ext * batch) {
    const int32_t result = on_device([&] { return llama_process(context, type, batch); });
    if (result <= COMPUTE_FAILED) {
        blame_device("it could not compute");
    }
    return result;
}

inline void synchronize(llama_context * context) {
    on_device([&] { llama_synchronize(context); });
}

}

#define llama_process(...)     lff::process(__VA_ARGS__)
#define llama_synchronize(...) lff::synchronize(__VA_ARGS__)
