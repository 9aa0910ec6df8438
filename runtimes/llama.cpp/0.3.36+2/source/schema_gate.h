// What a schema may cost. Upstream makes a grammar of it, recursively, by names that grow with its depth; the grammar is judged
// afterwards (unfolding.h), but only if that comes to an end.
#pragma once

#include "json.h"

namespace lff {

constexpr size_t MAX_PROPERTIES = 512;       // of an object in a schema: what upstream makes of them grows with their square
constexpr size_t MAX_KEY        = 256;       // bytes of a property's name: its letters are followed one inside the other
constexpr size_t MAX_PATTERNS   = 256;       // in a request: for each, all rules so far are copied
constexpr size_t MAX_REFERENCES = 256;       // different ones in a schema: each may lie inside the one before
constexpr size_t MAX_PATHS      = 8u << 20;  // bytes of the ways from the top to everything in it, which upstream's rules are named by
constexpr size_t MAX_CHOICES    = 65536;     // alternatives in a request, with references and lists of types followed

// Throws `refused` for the first schema of a request that is beyond.
void check_schemas(const common_json & request);

// What a reference inside `whole` leads to, as upstream finds it; null if nothing.
const common_json * referred(const common_json & whole, const std::string & reference);

}
