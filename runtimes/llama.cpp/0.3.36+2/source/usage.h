// Forced in front of upstream's server-context.cpp (cmake/server.cmake). Of several answers to one request upstream tells the
// usage of the first; here all of them are counted, on the thread that answers the request.
#pragma once

#include <cstdint>

namespace lff {

struct usage {
    int64_t answers = 0;
    int64_t written = 0;  // tokens of all answers
    int64_t read    = 0;  // tokens of their prompts, once for each answer
    int64_t cached  = 0;  // of these
};

// Of the request that this thread answers.
usage & own_usage();

}

#if defined(LFF_COUNT_ANSWERS)

#  include "server-queue.h"

namespace lff {

struct counting {};

inline server_response_reader::batch_response operator|(server_response_reader::batch_response batch, counting) {
    usage & total = own_usage();
    for (const server_task_result_ptr & result : batch.results) {
        if (const auto * answer = dynamic_cast<const server_task_result_cmpl_final *>(result.get())) {
            total.answers++;
            total.written += answer->n_decoded;
            total.read    += answer->n_prompt_tokens;
            total.cached  += answer->n_prompt_tokens_cache;
        }
    }
    return batch;
}

}

#  define wait_for_all(stop) wait_for_all(stop) | lff::counting()

#endif
