#include "meter.h"

#include "spent.h"
#include "watch.h"

#include <cstdlib>
#include <new>

namespace {

thread_local int64_t left    = INT64_MAX;
thread_local bool    stopped = false;

}

// Counts, and nothing else: to throw here would end the program wherever a destructor allocates.
void * operator new(size_t size) {
    left -= (int64_t) size;
    for (;;) {
        if (void * place = malloc(size == 0 ? 1 : size)) {
            return place;
        }
        const std::new_handler handler = std::get_new_handler();
        if (handler == nullptr) {
            throw std::bad_alloc();
        }
        handler();
    }
}

void operator delete(void * place) noexcept { free(place); }
void operator delete(void * place, size_t) noexcept { free(place); }

namespace lff {

void allow(int64_t bytes) {
    left    = bytes;
    stopped = false;
}

void check() {
    heartbeat();
    if (left < 0) {
        left    = INT64_MAX;  // what cleans up after this is not to be stopped again
        stopped = true;
        throw refused("the template or schema needs more work than one request may cause");
    }
}

bool    ran_out() { return stopped; }
int64_t left_over() { return left; }

}
