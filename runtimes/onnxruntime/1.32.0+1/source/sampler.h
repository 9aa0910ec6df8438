// Which token comes next.
#pragma once

#include "model.h"

#include <random>

namespace lff {

struct sampling {
    double   temperature = 0;  // 0: the likeliest
    int      top_k = 40;
    double   top_p = 0.95;
    uint32_t seed  = 0;
};

class sampler {
public:
    explicit sampler(const sampling & wanted) : wanted(wanted), chance(wanted.seed) {}
    int64_t next(const model & from);

private:
    sampling     wanted;
    std::mt19937 chance;
};

}
