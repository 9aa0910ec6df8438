#include "crew.h"

#include <algorithm>
#include <atomic>

#if defined(_WIN32)
#  ifndef NOMINMAX
#    define NOMINMAX
#  endif
#  include <windows.h>
#elif !defined(__wasi__)
#  include <ctime>
#endif

namespace {

std::atomic<bool> shrinking{ false };

// Seconds. What a machine does within one of its own time slices says nothing.
constexpr double WINDOW = 0.06, FIRST_PAUSE = 0.25, LAST_PAUSE = 2;
constexpr int    GRAPHS = 3;     // at least, in a window
constexpr double LOST   = 0.2;   // of its time, that the waiting thread did not compute: others are at work here
constexpr double BETTER = 0.93;  // of the time per graph: below it another number of threads is the better one

#if defined(_WIN32)

double seconds_of(const FILETIME & time) { return (((uint64_t) time.dwHighDateTime << 32) | time.dwLowDateTime) * 1e-7; }

double clock_now() { return (double) GetTickCount64() * 1e-3; }

double computed() {
    FILETIME began, ended, kernel, user;
    return GetThreadTimes(GetCurrentThread(), &began, &ended, &kernel, &user) ? seconds_of(kernel) + seconds_of(user) : 0;
}

#elif defined(__wasi__)

double clock_now() { return 0; }
double computed() { return 0; }

#else

double read_clock(clockid_t clock) {
    struct timespec time = {};
    clock_gettime(clock, &time);
    return (double) time.tv_sec + (double) time.tv_nsec * 1e-9;
}

double clock_now() { return read_clock(CLOCK_MONOTONIC); }
double computed() { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

#endif

// What a thread has seen of the graphs that it waited for.
class crew {
public:
    int begin(int most, int nodes, int64_t tokens) {
        const double time = clock_now();
        int          size = 0;
        while (tokens >> size > 1) {
            size++;
        }
        if (most != all) {
            all = now = most;
        }
        if (nodes * 64 + size != shape) {  // another kind of work: what was measured cannot be compared
            shape = nodes * 64 + size;
            end_trial(time);
            usual = 0;
        }
        if (time - ended > LAST_PAUSE) {  // the machine may be another by now
            next_up = next_down = time;
            pause = FIRST_PAUSE;
            clear();
        }
        began          = time;
        began_computed = computed();
        return trying > 0 ? trying : now;
    }

    void done() {
        ended = clock_now();
        taken += ended - began;
        own += computed() - began_computed;
        graphs++;
        if (taken >= WINDOW && (graphs >= GRAPHS || taken >= 5 * WINDOW)) {
            judge(taken / graphs, 1 - own / taken);
            clear();
        }
    }

private:
    void judge(double each, double lost) {
        if (trying > 0) {
            const bool better = each < BETTER * usual;
            now               = better ? trying : now;
            pause             = better ? FIRST_PAUSE : std::min(2 * pause, LAST_PAUSE);
            usual             = better ? each : usual;
            end_trial(ended);
        } else {
            usual = each;
            if (lost > LOST && now > 1 && ended >= next_down) {
                trying = (now + 1) / 2;
            } else if (now < all && ended >= next_up) {
                trying = std::min(2 * now, all);
            }
        }
    }

    void end_trial(double time) {
        if (trying > 0) {
            (trying > now ? next_up : next_down) = time + pause;
            trying = 0;
        }
        clear();
    }

    void clear() {
        taken = own = 0;
        graphs      = 0;
    }

    int     all = 0, now = 0;
    int     trying = 0;       // threads, in this window only; 0: none are tried
    int64_t shape  = 0;       // of the graphs in this window
    double  usual  = 0;       // seconds for each graph with `now` threads
    double  next_up = 0, next_down = 0, pause = FIRST_PAUSE;
    double  began = 0, began_computed = 0, ended = 0;
    double  taken = 0, own = 0;  // in this window: seconds, and those that this thread computed
    int     graphs = 0;
};
thread_local crew seen;

}

void lff::let_crew_shrink() { shrinking = true; }

int lff_crew(int most, int nodes, int64_t tokens) { return shrinking && most > 1 ? seen.begin(most, nodes, tokens) : most; }

void lff_crew_done(void) {
    if (shrinking) {
        seen.done();
    }
}
