#include "options.h"

#include "plan.h"

#include <algorithm>
#include <cstdlib>

namespace lff {
namespace {

enum class value { none, text, whole, real };

struct row {
    std::vector<std::string> names;
    value                    kind;
    double                   low = 0, high = 0;
};

const std::vector<row> EVERY = {
    { { "-m", "--model" }, value::text },
    { { "-t", "--threads" }, value::whole, 1, 1024 },
    { { "-c", "--ctx-size" }, value::whole, 1, 1 << 20 },
};
const std::vector<row> COMPLETING = {
    { { "-p", "--prompt" }, value::text },
    { { "-f", "--file" }, value::text },
    { { "-n", "--predict", "--n-predict" }, value::whole, -1, 1 << 30 },
    { { "--chat" }, value::none },
    { { "--system-prompt" }, value::text },
    { { "--temp", "--temperature" }, value::real, 0, 100 },
    { { "--top-k" }, value::whole, 0, 1 << 30 },
    { { "--top-p" }, value::real, 0, 1 },
    { { "-s", "--seed" }, value::whole, 0, 4294967295.0 },
};
const std::vector<row> SERVING = {
    { { "--port" }, value::whole, 0, 65535 },
    { { "--host" }, value::text },
    { { "--no-browser" }, value::none },  // it opens none
};

const row * find(const std::vector<row> & rows, const std::string & word) {
    const auto named = [&](const row & each) { return std::find(each.names.begin(), each.names.end(), word) != each.names.end(); };
    const auto found = std::find_if(rows.begin(), rows.end(), named);
    return found == rows.end() ? nullptr : &*found;
}

std::string shortened(double number) {
    const std::string text = std::to_string(number);
    return text.substr(0, text.find('.'));
}

void check(const row & known, const std::string & word, const std::string & given) {
    char *       end    = nullptr;
    const double number = strtod(given.c_str(), &end);
    const bool   plain  = !given.empty() && given.find_first_not_of("-.0123456789") == std::string::npos && *end == '\0';
    const bool   whole  = given.find('.') == std::string::npos;
    if (!plain || (known.kind == value::whole && !whole) || number < known.low || number > known.high) {
        throw usage_error(word + " wants a " + (known.kind == value::whole ? "whole " : "") + "number from " + shortened(known.low) + " to " +
                          shortened(known.high) + ", not '" + given.substr(0, 40) + "'");
    }
}

}

void check_options(const std::vector<std::string> & arguments, mode wanted) {
    const std::vector<row> & own   = wanted == mode::serving ? SERVING : COMPLETING;
    const std::vector<row> & other = wanted == mode::serving ? COMPLETING : SERVING;
    for (size_t at = 0; at < arguments.size(); at++) {
        const std::string & word  = arguments[at];
        const row *         known = find(EVERY, word);
        if (known == nullptr && wanted != mode::tracing) {
            known = find(own, word);
        }
        if (known == nullptr) {
            const bool elsewhere = wanted == mode::tracing ? find(own, word) != nullptr || find(other, word) != nullptr : find(other, word) != nullptr;
            throw usage_error(word.substr(0, 64) + (elsewhere ? " is of no use in this mode" : " is nothing that this engine knows") + "; see --help");
        }
        if (known->kind == value::none) {
            continue;
        }
        if (++at == arguments.size()) {
            throw usage_error(word + " wants a value");
        }
        if (known->kind != value::text) {
            check(*known, word, arguments[at]);
        }
    }
}

}
