// How long threads of the engine wait for each other before they let others run: see waiting.h.

#include <cstdint>

#if defined(_WIN32)
#  ifndef NOMINMAX
#    define NOMINMAX
#  endif
#  include <windows.h>
#elif !defined(__wasi__)
#  include <ctime>
#  include <sched.h>
#endif

extern "C" void lff_wait_longer(void);

#if defined(_WIN32)

void lff_wait_longer(void) { SwitchToThread(); }

#elif defined(__wasi__)

void lff_wait_longer(void) {}

#else

namespace {

// Nanoseconds of waiting. A thread that computes beside ours is done within the first; one that had to leave its
// processor comes back after some milliseconds.
constexpr int64_t SPIN = 50'000, YIELD = 500'000, NAP = 50'000;

int64_t now() {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t) time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

// One wait of a thread. It is not told when a wait begins; but turns between which it has worked take longer than others.
struct wait {
    int64_t began = 0, seen = 0;
    int64_t least = INT64_MAX / 4;  // that 64 turns have taken
};
thread_local wait own;

}

void lff_wait_longer(void) {
    const int64_t time = now(), took = time - own.seen;
    own.least = took < own.least ? took : own.least;
    if (took > 2 * own.least + 1000) {
        own.began = time;
    }
    own.seen = time;
    if (time - own.began > YIELD) {
        const struct timespec nap = { 0, NAP };
        nanosleep(&nap, nullptr);
        own.seen = now();
    } else if (time - own.began > SPIN) {
        sched_yield();
        own.seen = now();
    }
}

#endif
