// What a file will run: archive → arguments, model, template, companions, page, builds (spec/1.0, 14.7). The same function
// as in Python, judged by the same vectors.
#pragma once

#include "allowed.h"
#include "arguments.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lff {

// A member, as far as the function looks at it.
struct described_member {
    std::string path, role;
    uint64_t    offset = 0;
};

// The input: an archive, its members in file order.
struct described_archive {
    std::vector<described_member> members;
    bool                          manifest = false;  // without one it is a legacy llamafile
    std::string                   standard;          // the manifest's `default`
    dialect                       speaks        = dialect::native;
    bool                          has_arguments = false;
    std::string                   arguments;  // the bytes of .args
};

// Something that will be used. `member` is empty if it is no member; `text` is what the arguments say of it.
struct chosen {
    std::string member, why, text;
    bool        is_default() const { return why == "default" || why == "first"; }
};

struct chosen_build {
    std::string member, why, page;

    bool starts() const { return why != "behind" && why != "gpu"; }
};

struct will_run {
    std::optional<chosen>     arguments;
    dialect                   speaks = dialect::native;
    parsed_arguments          parsed;
    std::optional<chosen>     model, chat_template, projector, draft, grammar, page;
    std::vector<chosen>       adapters;
    std::vector<chosen_build> builds;
};

// The normative function.
will_run decide(const described_archive & archive);
// The same with the options of `given` in the place of those of `.args`: also what the user says counts.
will_run decide(const described_archive & archive, const std::vector<option_read> & given);

// The answer as the vectors write it, in the form of 5.2.2 but for the order of fields, with a line feed at the end.
std::string to_json(const will_run & answer);

// True if the last of `--mmproj-auto` and its negations is a negation.
bool projector_is_off(const std::vector<option_read> & given);

// True for a name that ends in .gguf, in either case.
bool is_gguf(const std::string & name);

}
