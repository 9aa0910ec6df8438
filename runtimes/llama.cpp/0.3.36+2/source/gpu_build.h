// The container's gpu build for this target: found by the manifest, unpacked into the cache that this program lies in.
#pragma once

#include "archive.h"

#include <optional>
#include <string>

namespace lff {

struct gpu_build {
    member      place;
    std::string sha256;  // as the manifest says
};

// None if there is no such member, or no manifest that says what it is.
std::optional<gpu_build> find_gpu_build();

// A file whose bytes have the digest, to be started by its descriptor. `folder` is where it lies, in a cache that is
// this user's alone; empty if there is none: then it is in memory, and nothing about it can be remembered.
struct opened_build {
    int         fd = -1;
    std::string folder, sha256;

    opened_build() = default;
    opened_build(opened_build && other) noexcept;
    ~opened_build();
};

// Throws std::runtime_error if the member has another digest, or if there is no room.
opened_build open_gpu_build(const gpu_build & build);

}
