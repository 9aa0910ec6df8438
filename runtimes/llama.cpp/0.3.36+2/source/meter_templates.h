// Forced in front of upstream's common library and of what includes its templates (cmake/server.cmake): every value that a
// template makes is a place where its work is compared with what was allowed.
#pragma once

#if defined(__cplusplus)

#include "meter.h"

#include <memory>
#include <utility>

namespace std {

template <typename T, typename... Arguments> shared_ptr<T> lff_make_shared(Arguments &&... arguments) {
    lff::check();
    return make_shared<T>(forward<Arguments>(arguments)...);
}

}

#define make_shared lff_make_shared

#endif
