// The gate in front of the engine: what a request may ask for (spec/1.0, 14.6.14). Upstream's handlers trust their requests;
// nothing reaches them that has not been through here.
#pragma once

#include "json.h"
#include "meter.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace lff {

constexpr size_t  MAX_BODY      = 32u << 20;  // bytes
constexpr int     MAX_DEPTH     = 64;         // of JSON
constexpr size_t  MAX_VALUES    = 1000000;    // in one JSON text
constexpr size_t  MAX_TEXT      = 8u << 20;   // bytes of all texts to be made tokens of
constexpr int64_t MAX_WORK      = 512 << 20;  // bytes that are allocated while a request is prepared,
constexpr int64_t WORK_PER_BYTE = 64;         // and so many more for each of its own bytes

// What requests are measured by. Set before the server starts.
struct measures {
    int64_t context    = 0;  // tokens that one answer and its prompt may have; 0: not known
    int64_t vocabulary = 0;  // number of tokens; 0: not known
    int64_t slots      = 1;
    bool    shifts     = false;  // an answer may outgrow the context
};
extern measures measured;

// Throws `refused` unless `text` is one JSON value in UTF-8 whose depth and number of values are within the limits.
void check_json(const std::string & text);

// A request that was read, and whether it is no longer what was sent.
struct letter {
    common_json json;
    bool        changed = false;
};

// Reads a request, and brings its numbers within what the model and its context can use. Throws `refused` where it asks for
// what cannot be.
letter admit(const std::string & path, const std::string & body);

// How much a request of so many bytes may allocate.
inline int64_t work_of(size_t body) { return MAX_WORK + WORK_PER_BYTE * (int64_t) body; }

}
