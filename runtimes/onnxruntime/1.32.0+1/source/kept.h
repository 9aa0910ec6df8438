// Copies of the engine's libraries in the private cache, each held from its hashing to its loading: what is loaded is what was hashed.
#pragma once

#include "library.h"

#include <memory>

namespace lff {

class kept_library {
public:
    virtual ~kept_library() = default;
    // The handle of the loaded library. Throws std::runtime_error that says why there is none.
    virtual void * load() const = 0;
};

// The library of `m` in the first place that does, put there if it is missing or another. Throws std::runtime_error if no
// place does; what check_member() throws.
std::unique_ptr<kept_library> keep(const archive & container, const member & m, const listed_library & wanted);

// A function of a loaded library; null if it has none of that name.
void * function_of(void * library, const char * name);

// What the systems have in common.
constexpr size_t PIECE = 1u << 20;

// The member has the digest: looked at before anything of it is written. Throws archive_error.
void check_member(const archive & container, const member & m, const listed_library & wanted);

}
