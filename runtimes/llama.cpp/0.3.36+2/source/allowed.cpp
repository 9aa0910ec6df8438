#include "allowed.h"

#include "text.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace lff {
namespace {

constexpr size_t MAX_TEXT   = 65536;  // bytes of a template, grammar or schema, 3.10.7
constexpr size_t MAX_OBJECT = 4096;
constexpr size_t MAX_WORDS  = 32;

#define ENGINE(name, version, same)
#define TABLE(name) const option_row name##_rows[] = {
#define ROW(names, values, allowed, kind, low, high) { names, values, allowed, kind, low, high },
#define END() };
#include "arguments.inc"
#undef ENGINE
#undef TABLE
#undef ROW
#undef END

// The engines that have a table, this one first, and whether it is this one's.
struct known_engine {
    std::string_view name, version;
    bool             same;
};

#define ENGINE(name, version, same) { name, version, same },
#define TABLE(name)
#define ROW(names, values, allowed, kind, low, high)
#define END()
const known_engine KNOWN[] = {
#include "arguments.inc"
};
#undef ENGINE
#undef TABLE
#undef ROW
#undef END

std::vector<std::string> split(std::string_view text, char at) {
    std::vector<std::string> parts;
    size_t from = 0;
    for (size_t to; (to = text.find(at, from)) != std::string_view::npos; from = to + 1) {
        parts.emplace_back(text.substr(from, to - from));
    }
    parts.emplace_back(text.substr(from));
    return parts;
}

bool has(const std::vector<std::string> & words, const std::string & word) {
    return std::find(words.begin(), words.end(), word) != words.end();
}

// As the engine looks an argument up: behind two dashes every `_` is `-`.
std::string normal(std::string argument) {
    if (argument.compare(0, 2, "--") == 0) {
        std::replace(argument.begin(), argument.end(), '_', '-');
    }
    return argument;
}

option_read read_one(const std::vector<std::string> & texts, size_t at, const option_table & table) {
    const std::string & text = texts[at];
    option_read         read;
    read.written = text;
    read.first   = at;
    read.end     = at + 1;
    read.row     = table.find(text);
    if (read.row != nullptr) {
        read.name        = read.row->name();
        const size_t end = at + 1 + (size_t) read.row->values;
        read.form        = end <= texts.size() ? option_form::plain : option_form::cut;
        read.end         = std::min(end, texts.size());
        read.values.assign(texts.begin() + (std::ptrdiff_t) at + 1, texts.begin() + (std::ptrdiff_t) read.end);
        return read;
    }
    read.name = text;
    if (text.empty() || text[0] != '-') {
        read.form = option_form::stray;
        return read;
    }
    const size_t equals = text.find('=');
    if (equals != std::string::npos) {
        read.written = text.substr(0, equals);
        read.row     = table.find(read.written);
        read.name    = read.row ? read.row->name() : normal(read.written);
        read.values  = { text.substr(equals + 1) };
        read.form    = option_form::equals;
        return read;
    }
    read.name = normal(text);
    if (at + 1 < texts.size() && (texts[at + 1].empty() || texts[at + 1][0] != '-')) {
        read.values = { texts[at + 1] };
        read.end    = at + 2;
    }
    return read;
}

// 1 to 18 digits from `at` on; moves behind them.
bool digits(const std::string & text, size_t & at, size_t most = 18) {
    const size_t start = at;
    while (at < text.size() && at - start < most && text[at] >= '0' && text[at] <= '9') {
        at++;
    }
    return at > start;
}

bool is_number(const std::string & text, size_t at, bool fraction) {
    if (!digits(text, at)) {
        return false;
    }
    if (fraction && at < text.size() && text[at] == '.') {
        return digits(text, ++at) && at == text.size();
    }
    return at == text.size();
}

bool is_real(const std::string & text, bool fraction = true) {
    return is_number(text, text.compare(0, 1, "-") == 0 ? 1 : 0, fraction);
}

double number(std::string_view text) { return strtod(std::string(text).c_str(), nullptr); }

bool is_bias(const std::string & value, double most) {
    size_t at = 0;
    if (!digits(value, at, 9) || at == value.size() || (value[at] != '+' && value[at] != '-')) {
        return false;
    }
    return is_number(value, at + 1, true) && number(value.substr(at + 1)) <= most;
}

bool is_letters(const std::string & value, std::string_view letters) {
    for (size_t i = 0; i < value.size(); i++) {
        if (letters.find(value[i]) == std::string_view::npos || value.find(value[i], i + 1) != std::string::npos) {
            return false;
        }
    }
    return !value.empty();
}

// What is allowed instead of `value`; empty if it is allowed.
std::string value_problem(const std::string & value, const option_row & row) {
    const std::string low(row.low), high(row.high);
    if (row.kind == "integer" || row.kind == "real") {
        const bool real   = row.kind == "real";
        const bool inside = is_real(value, real) && number(low) <= number(value) && number(value) <= number(high);
        return inside ? "" : std::string(real ? "a number" : "an integer") + " from " + low + " to " + high;
    }
    const std::vector<std::string> words = split(row.low, ' ');
    if (row.kind == "word") {
        return has(words, value) ? "" : "one of " + low;
    }
    if (row.kind == "words") {
        const std::vector<std::string> given = split(value, high[0]);
        const bool fits = given.size() <= MAX_WORDS &&
                          std::all_of(given.begin(), given.end(), [&](const std::string & word) { return has(words, word); });
        return fits ? "" : "words of " + low + ", separated by " + high;
    }
    if (row.kind == "letters") {
        return is_letters(value, row.low) ? "" : "letters of " + low;
    }
    if (row.kind == "bias") {
        return is_bias(value, number(high)) ? "" : "TOKEN+NUMBER, up to " + high;
    }
    if (row.kind == "text") {
        return is_printable(value, (size_t) number(high)) ? "" : "1 to " + high + " characters that can be printed";
    }
    const size_t most = row.kind == "object" ? MAX_OBJECT : MAX_TEXT;  // of what stands in the arguments itself
    return value.size() <= most && is_utf8(value) ? "" : "UTF-8 of at most " + std::to_string(most) + " bytes";
}

std::string member_problem(const std::string & value, const option_row & row,
                           const std::function<member_facts(const std::string &)> & member) {
    const std::string wanted = "/zip/NAME of a member with role " + std::string(row.low);
    if (row.kind != "member" && value.find('"') != std::string::npos) {  // quotes mean something to the parser of lists
        return wanted;
    }
    for (const std::string & name : named_members(value, row.kind)) {
        if (name.compare(0, 5, "/zip/") != 0 || (row.kind == "scaled" && name.find(':') != std::string::npos)) {
            return wanted;
        }
        const member_facts facts = member(name.substr(5));
        if (facts.role != row.low) {
            return wanted;
        }
        if (row.kind.find("-file") != std::string_view::npos && facts.size > MAX_TEXT) {
            return "a member of at most " + std::to_string(MAX_TEXT) + " bytes";
        }
    }
    if (row.kind == "scaled") {
        for (const std::string & part : split(value, ',')) {
            const size_t colon = part.rfind(':');
            if (colon == std::string::npos || !is_real(part.substr(colon + 1))) {
                return wanted + ", a colon, and a number";
            }
        }
    }
    return "";
}

}

std::string option_row::name() const {
    const std::vector<std::string> spellings = split(names, ' ');
    for (const std::string & spelling : spellings) {
        if (spelling.compare(0, 2, "--") == 0) {
            return spelling;
        }
    }
    return spellings[0];
}

bool option_row::names_members() const {
    return allowed && (kind == "member" || kind == "members" || kind == "scaled" || kind.find("-file") != std::string_view::npos);
}

option_table::option_table(const option_row * first, const option_row * last) {
    for (const option_row * row = first; row != last; row++) {
        for (size_t at = 0; at < row->names.size();) {
            const size_t end = std::min(row->names.find(' ', at), row->names.size());
            by_name.emplace_back(row->names.substr(at, end - at), row);
            at = end + 1;
        }
    }
    std::sort(by_name.begin(), by_name.end());
}

const option_row * option_table::find(const std::string & argument) const {
    const std::string name  = normal(argument);
    const auto        found = std::lower_bound(by_name.begin(), by_name.end(), std::string_view(name),
                                               [](const auto & entry, std::string_view wanted) { return entry.first < wanted; });
    return found != by_name.end() && found->first == name ? found->second : nullptr;
}

const option_table & own_table() {
    static const option_table native(std::begin(native_rows), std::end(native_rows));
    return native;
}

const option_table & table_for(dialect d, const std::vector<std::pair<std::string, std::string>> & engines) {
    static const option_table known(std::begin(known_rows), std::end(known_rows)), common(std::begin(common_rows), std::end(common_rows)),
        lines(std::begin(lines_rows), std::end(lines_rows)), quoted(std::begin(quoted_rows), std::end(quoted_rows)),
        zip_quoted(std::begin(zip_quoted_rows), std::end(zip_quoted_rows));
    if (d != dialect::native) {
        return d == dialect::lines ? lines : d == dialect::quoted ? quoted : zip_quoted;
    }
    bool own = !engines.empty(), all_known = true;
    for (const auto & engine : engines) {
        const auto at = std::find_if(std::begin(KNOWN), std::end(KNOWN), [&](const auto & each) {
            return each.name == engine.first && each.version == engine.second;
        });
        own       = own && at != std::end(KNOWN) && at->same;
        all_known = all_known && at != std::end(KNOWN);
    }
    return own ? own_table() : all_known ? known : common;
}

std::vector<option_read> read_options(const parsed_arguments & arguments, const option_table & table) {
    std::vector<option_read> found;
    for (size_t at = 0; at < arguments.tokens.size(); at = found.back().end) {
        found.push_back(read_one(arguments.tokens, at, table));
        option_read & read = found.back();
        if (arguments.rest >= 0 && read.first < (size_t) arguments.rest && (size_t) arguments.rest < read.end) {
            read.form = option_form::split;
        }
    }
    return found;
}

std::vector<std::string> named_members(const std::string & value, std::string_view kind) {
    if (kind != "members" && kind != "scaled") {
        return { value };
    }
    std::vector<std::string> parts = split(value, ',');
    if (kind == "scaled") {
        for (std::string & part : parts) {
            const size_t colon = part.rfind(':');
            part = colon == std::string::npos ? "" : part.substr(0, colon);
        }
    }
    return parts;
}

std::string objection(const option_read & option, const std::function<member_facts(const std::string &)> & member) {
    const std::string named = shown(option.written.substr(0, 80));
    if (option.form == option_form::stray) {
        return named + " is no option, and the value of none";
    }
    if (option.row == nullptr) {
        return named + " is not on the list of options that a file may set";
    }
    if (!option.row->allowed) {
        return named + " is not for a file to set: " + std::string(option.row->kind);
    }
    if (option.form == option_form::equals) {
        return named + " and its value are two arguments";
    }
    if (option.form == option_form::split) {
        return "the user's own arguments would stand between " + named + " and its value";
    }
    if (option.form == option_form::cut) {
        return named + " wants a value";
    }
    if (option.row->values == 0) {
        return "";
    }
    const std::string & value = option.values[0];
    std::string         wanted;
    if (option.row->names_members()) {
        wanted = member_problem(value, *option.row, member);
    } else if (value.compare(0, 1, "-") == 0 && !is_real(value)) {  // one reader may take it for an option
        wanted = "a value that does not begin with a dash";
    } else {
        wanted = value_problem(value, *option.row);
    }
    return wanted.empty() ? "" : named + " wants " + wanted + ", not " + shown(value.substr(0, 80));
}

}
