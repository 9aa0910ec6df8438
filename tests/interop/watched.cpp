// The watch as the runtime has it: a child works, stands still or idles, and this process judges it. Prints one line for each
// question: NAME yes or no.
#include "watch.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

constexpr uint64_t SHAPE = 0x5eed, OTHER = 0xfeed;

double now() {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

void say(const char * what, bool yes) {
    printf("%s %s\n", what, yes ? "yes" : "no");
    fflush(stdout);
}

// Whether the watch ends a child that runs `work` for 4 s, with a patience of 1.5 s.
template <typename Work> bool is_ended(lff::watch & judge, Work work) {
    judge.renew();
    const pid_t child = fork();
    if (child == 0) {
        work();
        _exit(0);
    }
    bool stuck = false;
    for (int i = 0; i < 40 && !stuck; i++) {
        usleep(100000);
        stuck = judge.is_stuck(now());
    }
    kill(child, 9);
    waitpid(child, nullptr, 0);
    return stuck;
}

void idle() { usleep(5000000); }

void go_on() {
    lff::work request(OTHER);
    for (int i = 0; i < 50; i++) {
        usleep(100000);
        lff::heartbeat();
    }
}

void stand_still() {
    lff::work request(SHAPE);
    usleep(5000000);
}

// What is within counts for itself: the outer work waits for it, and goes on when it has ended.
void go_on_within() {
    lff::work request(OTHER);
    for (int i = 0; i < 50; i++) {
        lff::work part(OTHER);
        usleep(100000);
    }
}

void stand_still_after_others() {
    for (int i = 0; i < 3000; i++) {
        lff::work finished(OTHER);
    }
    stand_still();
}

// The engine's loop, on behalf of requests that wait for it; its matrices are computed on a thread of their own.
void loop_goes_on() {
    lff::work loop(lff::FOR_ALL);
    std::thread([] {
        for (int i = 0; i < 50; i++) {
            usleep(100000);
            lff::engine_heartbeat();
        }
    }).join();
}

void loop_stands(std::vector<uint64_t> askers) {
    std::vector<std::thread> waiting;
    for (const uint64_t shape : askers) {
        waiting.emplace_back([shape] {
            lff::work request(shape);
            for (int i = 0; i < 50; i++) {
                usleep(100000);
                lff::heartbeat();
            }
        });
    }
    lff::work loop(lff::FOR_ALL);
    usleep(6000000);
    _exit(0);
}

// Judged in a watch of its own: who is refused once the loop has stood still for `first`, then for `second`.
void blame(const char * name, std::vector<uint64_t> first, std::vector<uint64_t> second, std::vector<uint64_t> refused) {
    lff::watch judge(1.5);
    bool       ended = is_ended(judge, [&] { loop_stands(first); });
    if (!second.empty()) {
        ended = is_ended(judge, [&] { loop_stands(second); }) && ended;
    }
    judge.renew();
    bool as_expected = ended;
    for (uint64_t shape = 3; shape < 7; shape++) {
        const bool expected = std::find(refused.begin(), refused.end(), shape) != refused.end();
        as_expected         = as_expected && lff::is_refused(shape) == expected;
    }
    say(name, as_expected);
}

}

int main() {
    lff::watch judge(1.5);
    say("idle-ends", is_ended(judge, idle));
    say("going-on-ends", is_ended(judge, go_on));
    say("going-on-within-ends", is_ended(judge, go_on_within));
    say("refused-before", lff::is_refused(SHAPE));
    say("standing-still-ends", is_ended(judge, stand_still));
    judge.renew();
    say("refused-after", lff::is_refused(SHAPE));
    say("others-refused", lff::is_refused(OTHER) || lff::is_refused(0));
    say("late-standing-still-ends", is_ended(judge, stand_still_after_others));
    say("loop-going-on-ends", is_ended(judge, loop_goes_on));
    blame("one-who-waits-is-to-blame", { 3 }, {}, { 3 });
    blame("of-several-none-at-once", { 3, 4 }, {}, {});
    blame("of-several-who-was-there-twice", { 3, 4 }, { 4, 5 }, { 4 });
    lff::watch blind(0);
    say("without-patience-ends", is_ended(blind, stand_still));
    return 0;
}
