// What to run: the container's members by name and role, and the command line that follows from them and from the user.
#pragma once

#include "archive.h"
#include "will_run.h"

#include <stdexcept>
#include <string>
#include <vector>

namespace lff {

// Wrong usage: of the program, or of a file's own arguments. Exit status 2.
struct usage_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct contents {
    described_archive archive;
    std::string       name;            // the model's, for people; may be empty
    std::string       weights;         // the default model as /zip/NAME, its first shard; may be empty
    bool              classic = false; // the prefix is an engine of somebody else's, who wrote the arguments for it
    bool              adapters = true;  // false: the user wants none (--no-lora)
};

// Reads the manifest if there is one; a legacy llamafile has none, and its weights are the member named *.gguf.
// `weights_offset` is the launcher's choice (the default model's data offset in the file), or 0. Throws archive_error for
// a manifest that is not canonical, or that the archive contradicts.
contents survey(const archive & container, uint64_t weights_offset);

// Prints what the container will run; without one, what the archive will run that standard input describes (14.6.10).
int tell_what_will_run(const contents & found);

// The file's own arguments with the user's in their place, each option and its value in arguments of their own. Throws
// usage_error for what a file may not ask for (14.6.8).
std::vector<std::string> command_line(const contents & found, std::vector<std::string> user);

struct chosen_adapter {
    std::string path;
    float       scale = 1;
};

// What opens with these arguments: paths, or /zip/NAME; empty where there is none.
struct chosen_models {
    std::string                 model, projector, draft;
    std::vector<chosen_adapter> adapters;
};
chosen_models choose_models(const contents & found, const std::vector<std::string> & arguments);

// The options that name what goes along without being named: what a server has to be told.
std::vector<std::string> unnamed_models(const contents & found, const std::vector<std::string> & arguments);

// The value of an option, the last one; empty if absent. Values are told from options by the registry's table, so that an
// option's name as somebody's value is none.
std::string option(const std::vector<std::string> & arguments, const std::vector<std::string> & names);
bool        given(const std::vector<std::string> & arguments, const std::vector<std::string> & names);
std::string spelled(const std::vector<std::string> & arguments, const std::vector<std::string> & names);  // as it was given; empty if it was not
// Removes an option, and its value if it has one; true if it was there.
bool take(std::vector<std::string> & arguments, const std::string & name);

}
