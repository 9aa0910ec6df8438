// Forced in front of upstream's server-queue.cpp (cmake/server.cmake): who waits for an answer looks four times as often as upstream's
// every second whether his client is still there. What nobody reads any more is not computed for long.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace std { namespace chrono {

constexpr milliseconds lff_seconds(int count) { return milliseconds(250 * count); }

} }

#define seconds(count) lff_seconds(count)
