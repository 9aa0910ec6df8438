// What to run: the container's members by role, and the command line that follows from them and from the user.
#pragma once

#include "archive.h"

#include <string>
#include <vector>

namespace lff {

// The members that the engine opens, as /zip/ paths.
struct contents {
    std::string              name;    // the model's, for people; may be empty
    std::string              weights; // of the default model, its first shard
    std::string              projector;
    std::vector<std::string> adapters;
    std::string              draft;
    std::string              arguments;  // the bytes of .args
};

// Reads the manifest if there is one; a legacy llamafile has none, and its weights are the member named *.gguf.
// `weights_offset` is the launcher's choice (the default model's data offset in the file), or 0.
contents survey(const archive & container, uint64_t weights_offset);

// The value of an option given as `--name value` or `--name=value`, the last one; empty if absent.
std::string option(const std::vector<std::string> & arguments, const std::vector<std::string> & names);
bool        given(const std::vector<std::string> & arguments, const std::vector<std::string> & names);
// Removes a switch without value; true if it was there.
bool take(std::vector<std::string> & arguments, const std::string & name);

}
