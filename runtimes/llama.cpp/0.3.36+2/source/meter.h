// How much work one request may cause before it is judged too much.
//
// Templates, grammars and schemas are small programs that somebody else wrote; their cost cannot be read off their length.
// Whatever they do, they allocate. So allocations are counted for each thread, and at places where an exception does no
// harm (meter_templates.h, meter_grammar.h) the count is compared with what was allowed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>

namespace lff {

// What the gate says no with: upstream answers an invalid argument with status 400.
struct refused : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};

constexpr int64_t MAX_TEMPLATE_WORK = 4ll << 30;  // bytes that a model's own template may allocate

// From here on this thread may allocate so many bytes; check() throws `refused` beyond. No limit before the first call.
void allow(int64_t bytes);
void check();
// Whether check() has thrown since allow().
bool ran_out();

}
