// Forced in front of upstream's server-queue.cpp (cmake/server.cmake): what its loop does, it does under watch, for all who wait.
#pragma once

#include "loading.h"
#include "watch.h"

#include <utility>

namespace lff {

template <typename Function, typename... Arguments> auto for_all(const Function & act, Arguments &&... given) {
    loaded();
    const work under_watch(FOR_ALL);
    return act(std::forward<Arguments>(given)...);
}

}

#define callback_new_task(...)  lff::for_all(callback_new_task, __VA_ARGS__)
#define callback_update_slots() lff::for_all(callback_update_slots)
