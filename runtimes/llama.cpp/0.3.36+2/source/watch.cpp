#include "watch.h"

#include <algorithm>
#include <new>

#if !defined(_WIN32) && !defined(__wasi__)
#  include <sys/mman.h>
#endif

namespace lff {
namespace {

// Beats are odd while work goes on and even while a place is free, and never come again: no two pieces of work look alike.
struct place_in_page {
    std::atomic<uint64_t> beats{ 0 };
    std::atomic<uint64_t> shape{ 0 };
};

struct shared_page {
    place_in_page         places[watch::PLACES];
    std::atomic<uint64_t> refused[watch::SHAPES] = {};
};

shared_page * page = nullptr;  // none: nobody watches

thread_local work * innermost = nullptr;

std::atomic<int> engine_place{ -1 };  // where the engine's loop beats; -1: it has nothing to do

shared_page * map_page() {
#if defined(_WIN32) || defined(__wasi__)
    return nullptr;
#else
    void * memory = mmap(nullptr, sizeof(shared_page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANON, -1, 0);
    return memory == MAP_FAILED ? nullptr : new (memory) shared_page;
#endif
}

// A gap between two looks longer than this, in seconds, means that this process itself was stopped, and all with it.
constexpr double STOPPED = 10;

}

work::work(uint64_t shape) : place(-1), outside(innermost), engine(engine_place) {
    innermost = this;
    for (size_t i = 0; page != nullptr && i < watch::PLACES; i++) {
        uint64_t beats = page->places[i].beats;
        if (beats % 2 == 0 && page->places[i].beats.compare_exchange_strong(beats, beats + 1)) {
            page->places[i].shape = shape;
            place = (int) i;
            if (shape == FOR_ALL || shape == LOADING) {
                engine_place = place;
            }
            return;
        }
    }
}

work::~work() {
    innermost = outside;
    if (place >= 0) {
        if (page->places[place].shape == FOR_ALL || page->places[place].shape == LOADING) {
            engine_place = engine;
        }
        page->places[place].shape = 0;
        page->places[place].beats++;
    }
    heartbeat();  // what it was part of goes on
}

void heartbeat() {
    if (innermost != nullptr && innermost->place >= 0) {
        page->places[innermost->place].beats += 2;
    }
}

void engine_heartbeat() {
    const int place = engine_place.load(std::memory_order_relaxed);
    if (place >= 0) {
        page->places[place].beats.fetch_add(2, std::memory_order_relaxed);
    }
}

bool is_refused(uint64_t shape) {
    for (size_t i = 0; page != nullptr && shape != 0 && i < watch::SHAPES; i++) {
        if (page->refused[i] == shape) {
            return true;
        }
    }
    return false;
}

watch::watch(double patience) : patience(patience), places(PLACES) {
    page = map_page();
}

bool watch::is_stuck(double now) {
    const bool stopped = now - looked > STOPPED;
    bool       loop_stands = false;
    looked = now;
    stuck.clear();
    for (size_t i = 0; page != nullptr && patience > 0 && i < PLACES; i++) {
        const uint64_t beats = page->places[i].beats, shape = page->places[i].shape;
        if (stopped || beats % 2 == 0 || beats != places[i].beats) {
            places[i] = { beats, now };
        } else {
            loop_stands |= shape == FOR_ALL;
            if (now - places[i].since > (shape == LOADING ? LOADING_PATIENCE : 1) * patience) {
                stuck.push_back(shape);
            }
        }
    }
    if (loop_stands) {
        note_who_waits();
    } else {
        waiting.clear();
    }
    return !stuck.empty();
}

bool watch::is_loading_stuck() const { return std::find(stuck.begin(), stuck.end(), LOADING) != stuck.end(); }

// Also who comes to the end of its patience, is told so, and goes.
void watch::note_who_waits() {
    for (const place_in_page & place : page->places) {
        const uint64_t shape = place.shape;
        if (shape > LOADING && std::find(waiting.begin(), waiting.end(), shape) == waiting.end()) {
            waiting.push_back(shape);
        }
    }
}

void watch::refuse(uint64_t shape) {
    if (shape > LOADING && !is_refused(shape)) {
        page->refused[refused++ % SHAPES] = shape;
    }
}

void watch::renew() {
    if (page == nullptr) {
        return;
    }
    const bool loop_stood = std::find(stuck.begin(), stuck.end(), FOR_ALL) != stuck.end();
    for (const uint64_t shape : loop_stood ? waiting : std::vector<uint64_t>()) {
        const bool again = std::find(suspected.begin(), suspected.end(), shape) != suspected.end();
        if (again || waiting.size() == 1) {
            refuse(shape);
        } else {
            suspected.push_back(shape);
        }
    }
    suspected.erase(suspected.begin(), suspected.end() - (std::ptrdiff_t) std::min(suspected.size(), PLACES));
    for (const uint64_t shape : loop_stood ? std::vector<uint64_t>() : stuck) {
        refuse(shape);
    }
    stuck.clear();
    waiting.clear();
    for (place_in_page & place : page->places) {
        place.beats += place.beats % 2;
        place.shape = 0;
    }
}

}

extern "C" void lff_engine_heartbeat(void) { lff::engine_heartbeat(); }
