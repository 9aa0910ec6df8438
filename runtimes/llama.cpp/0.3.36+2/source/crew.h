// How many of the engine's threads work on a graph. Where other programs use the processors too, threads that must wait
// for each other at every step lose more than they give; there fewer do the work faster (14.6.13).
#pragma once

#include <cstdint>

namespace lff {

// From here on the engine may use fewer threads than it was started with. Only where its user did not say how many.
void let_crew_shrink();

}

// In front of a graph of `nodes` operations for `tokens` tokens, and after it, on the thread that waits for it. The first
// gives the number of threads, 1 to `most`.
extern "C" int  lff_crew(int most, int nodes, int64_t tokens);
extern "C" void lff_crew_done(void);
