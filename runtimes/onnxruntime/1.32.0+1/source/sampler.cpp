#include "sampler.h"

#include <algorithm>
#include <cmath>

namespace lff {

int64_t sampler::next(const model & from) {
    if (!(wanted.temperature > 0)) {
        return from.likeliest();
    }
    const float *        row = from.logits();
    std::vector<int64_t> order((size_t) from.vocabulary());
    for (size_t i = 0; i < order.size(); i++) {
        order[i] = (int64_t) i;
    }
    const size_t kept = std::min(order.size(), wanted.top_k > 0 ? (size_t) wanted.top_k : order.size());
    std::partial_sort(order.begin(), order.begin() + (std::ptrdiff_t) kept, order.end(), [row](int64_t a, int64_t b) { return row[a] != row[b] ? row[a] > row[b] : a < b; });
    std::vector<double> odds(kept);
    double              sum = 0, reached = 0;
    for (size_t i = 0; i < kept; i++) {
        sum += odds[i] = std::exp(((double) row[order[i]] - (double) row[order[0]]) / wanted.temperature);
    }
    size_t last = 0;
    while (last < kept && reached < wanted.top_p * sum) {
        reached += odds[last++];
    }
    double at = (double) chance() / 4294967296.0 * reached;
    for (size_t i = 0; i + 1 < last; i++) {
        at -= odds[i];
        if (at < 0) {
            return order[i];
        }
    }
    return order[last > 0 ? last - 1 : 0];
}

}
