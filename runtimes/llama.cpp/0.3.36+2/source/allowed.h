// What a file may ask for: options with their values, and whether `.args` may set them (spec/1.0, 3.10). The tables are
// those of the registry, compiled in (arguments.inc).
#pragma once

#include "arguments.h"

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lff {

// An option of a table. `kind`, `low` and `high` mean what the registry says; of a refused one `kind` is why.
struct option_row {
    std::string_view names;   // all spellings, separated by blanks
    int              values;  // how many arguments follow
    bool             allowed;
    std::string_view kind, low, high;

    std::string name() const;  // the spelling that stands for it: the first with two dashes
    bool        names_members() const;
};

class option_table {
public:
    option_table(const option_row * first, const option_row * last);
    const option_row * find(const std::string & argument) const;  // in any spelling that the engine takes, or null

private:
    std::vector<std::pair<std::string_view, const option_row *>> by_name;
};

// The table for `d` in a file with builds of these engines (name and version): what all of them allow (3.10.2).
const option_table & table_for(dialect d, const std::vector<std::pair<std::string, std::string>> & engines);
// That of this runtime.
const option_table & own_table();

enum class option_form {
    plain,
    equals,  // --option=value
    cut,     // the arguments end before its values do
    split,   // the user's own arguments go in before its last value
    stray,   // no option, and the value of none
};

// An option as it stands in arguments: [first, end) are its own. `row` is null if the table does not have it.
struct option_read {
    std::string              name, written;
    const option_row *       row = nullptr;
    std::vector<std::string> values;
    size_t                   first = 0, end = 0;
    option_form              form = option_form::plain;
};

std::vector<option_read> read_options(const parsed_arguments & arguments, const option_table & table);

// The members that a value names, by the kind of its option.
std::vector<std::string> named_members(const std::string & value, std::string_view kind);

// Size in bytes and role of a member; a role that is empty says that there is none.
struct member_facts {
    std::string role;
    uint64_t    size = 0;
};

// Why a file's arguments may not hold this option, for people; empty if they may.
std::string objection(const option_read & option, const std::function<member_facts(const std::string &)> & member);

}
