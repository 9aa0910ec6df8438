// Forced in front of upstream's server-queue.cpp (cmake/server.cmake). Who waits for an answer looks every second whether his client is
// still there, if in that second nobody was answered: on a busy server, never. Here he looks four times a second whatever happens.
// What nobody reads any more is not computed for long.
#pragma once

#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

namespace lff {

// The end of this thread's quarter of a second, or of a new one if that is over: who was woken for nothing waits for the rest.
inline std::chrono::steady_clock::time_point next_look() {
    static thread_local std::chrono::steady_clock::time_point until;
    const auto now = std::chrono::steady_clock::now();
    until          = now >= until ? now + std::chrono::milliseconds(250) : until;
    return until;
}

}

#define wait_for(lock, time, ...) wait_until(lock, lff::next_look(), ##__VA_ARGS__)
