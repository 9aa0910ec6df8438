// Forced in front of the engine's ggml-cpu.c (CMakeLists.txt), for each level of processors.
//
// Upstream's threads wait for each other by spinning, without an end. Where one of them has lost its processor to other
// work, the others then use up theirs in waiting for it. Here who waits long lets others run, and who waits longer sleeps.
// The first operand of each node is where upstream's loop is seen to go on (watch.h).
#pragma once

#include "ggml-impl.h"

void lff_engine_heartbeat(void);
void lff_wait_longer(void);
int  lff_crew(int most, int nodes, int64_t tokens);
void lff_crew_done(void);

static inline void lff_relax_void(void);

// Upstream defines the function with `(void)` and calls it with `()`: so one is told from the other.
static inline void lff_relax_(void) {
    static _Thread_local unsigned turns = 0;
    lff_relax_void();
    if (++turns % 64 == 0) {
        lff_wait_longer();
    }
}
#define ggml_thread_cpu_relax(how) lff_relax_##how(how)

// In the loop over a graph, the only place that asks; `state` is its thread.
#define ggml_op_is_empty(op) (state->ith == 0 ? lff_engine_heartbeat() : (void) 0, ggml_op_is_empty(op))

static inline int64_t lff_tokens_of(const struct ggml_cgraph * graph) { return graph->n_nodes > 0 ? graph->nodes[0]->ne[1] : 0; }

// Around each graph (crew.h). Both functions are defined and called in one source: what stands between the parentheses
// tells one from the other.
#define ggml_graph_compute_kickoff(pool, threads) ggml_graph_compute_kickoff(pool, LFF_CREW_##threads)
#define LFF_CREW_int       int
#define LFF_CREW_n_threads lff_crew(n_threads, threadpool->cgraph->n_nodes, lff_tokens_of(threadpool->cgraph))
#define clear_numa_thread_affinity(how) LFF_CLEAR_##how
#define LFF_CLEAR_void clear_numa_thread_affinity(void)
#define LFF_CLEAR_     (clear_numa_thread_affinity(), lff_crew_done())
