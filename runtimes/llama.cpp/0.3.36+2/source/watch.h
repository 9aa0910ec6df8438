// What the outer process judges the inner one by: not how long work takes, but whether it goes on. Both see one page of
// shared memory. The inner one says in it what it has begun, and that it made progress; the outer one ends it when
// something that began stands still, and remembers what had asked for that.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lff {

// The shape of work that is done for all who have asked for something: the engine's loop.
constexpr uint64_t FOR_ALL = 1;
// That of loading a model: it may stand still for longer, since a hundredth of a large one is much for a slow disk.
constexpr uint64_t LOADING = 2;
constexpr double   LOADING_PATIENCE = 5;  // times that of other work

// Work that must make progress: a request that is parsed, a batch that is computed. It begins here and ends with its
// scope, on the thread that does it. `shape` is a hash of what asked for it, 0 if nobody is to blame.
class work {
public:
    explicit work(uint64_t shape = 0);
    ~work();
    work(const work &) = delete;
    work & operator=(const work &) = delete;

private:
    int    place;    // in the shared page, or -1: all are taken, and nobody watches
    work * outside;  // what this thread was doing when it began
    int    engine;   // the place of the engine's loop before it began
    friend void heartbeat();
};

// The innermost work of this thread made progress. One addition; nothing where there is none.
void heartbeat();

// The engine's loop made progress, on whichever thread: an operation on a matrix was finished.
void engine_heartbeat();

// Whether work of this shape once stood still until the process was ended: it is not begun again.
bool is_refused(uint64_t shape);

// The outer side.
class watch {
public:
    static constexpr size_t PLACES = 1200;  // more than the server has threads
    static constexpr size_t SHAPES = 64;    // that are remembered as refused, the oldest forgotten first

    explicit watch(double patience);  // seconds that work may stand still; 0: for ever

    // Looks at everything that was begun. True if something has stood still for too long; `now` in seconds, monotonic.
    bool is_stuck(double now);
    bool is_loading_stuck() const;  // then: whether that was a model being loaded
    // Forgets what an ended process had begun, and refuses the shapes of what stood still. Where that was the engine's loop,
    // one of those that wait for it is to blame: if it is but one, that one; else who was there a second time.
    void renew();

private:
    struct seen {
        uint64_t beats = 0;
        double   since = 0;
    };
    void note_who_waits();
    void refuse(uint64_t shape);

    double                patience;
    double                looked = 0;
    std::vector<seen>     places;
    std::vector<uint64_t> stuck;
    std::vector<uint64_t> waiting;    // shapes that were there while the engine's loop stood still
    std::vector<uint64_t> suspected;  // that waited for it when it was ended, the latest last
    size_t                refused = 0;
};

}
