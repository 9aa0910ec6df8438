// Canonical JSON (spec/1.0, 5.2): there is one text for one value, and no other text is read.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace lff {

constexpr uint64_t MAX_MANIFEST = 16u << 20;  // bytes, 12.4

struct json_value {
    enum kind { TEXT, NUMBER, TRUTH, LIST, OBJECT } is = TEXT;
    std::string              text;
    uint64_t                 number = 0;  // or 0 and 1
    std::vector<std::string> names;       // of an object's fields, in order
    std::vector<json_value>  items;       // of a list; or the values of those fields

    const json_value * field(const std::string & name) const;  // null if there is none
    // The text or number of a field; `absent` where it is missing or of another kind.
    std::string text_of(const std::string & name, const std::string & absent = "") const;
    uint64_t    number_of(const std::string & name, uint64_t absent = 0) const;
};

struct not_canonical : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The value of `text`. Throws not_canonical, with the place, for every text that a writer would not make of that value.
json_value read_canonical(const std::string & text);

}
