#include "canonical.h"

#include "text.h"

#include <algorithm>
#include <cstring>

namespace lff {
namespace {

constexpr int      MAX_DEPTH   = 8;         // objects and lists that are open, 5.2.6
constexpr long     MAX_MARKS   = 1 << 18;   // commas and opening brackets: never fewer than values, less one; 12.4
constexpr size_t   MAX_DIGITS  = 19;
constexpr uint64_t MAX_INTEGER = INT64_MAX; // 5.2.4

// Reads from left to right and asks at every place for the only bytes that may stand there.
struct reader {
    const std::string & text;
    size_t              at    = 0;
    int                 depth = 0;

    [[noreturn]] void refuse(const char * why) const {
        throw not_canonical("byte " + std::to_string(at) + ": " + why);
    }

    bool next(const char * bytes) {
        const size_t length = strlen(bytes);
        if (text.compare(at, length, bytes) != 0) {
            return false;
        }
        at += length;
        return true;
    }

    void expect(const char * bytes, const char * why) {
        if (!next(bytes)) {
            refuse(why);
        }
    }

    void line() {
        expect("\n", "a new line belongs here");
        for (int i = 0; i < depth; i++) {
            expect(" ", "one space for each object or array that is open belongs here");
        }
        if (at < text.size() && text[at] == ' ') {
            refuse("one space too many");
        }
    }

    void escape(std::string & out) {
        static const char letters[] = "\"\\btnfr", bytes[] = "\"\\\b\t\n\f\r";
        const char        c     = at < text.size() ? text[at] : '\0';
        const char *      found = c == '\0' ? nullptr : strchr(letters, c);
        if (found != nullptr) {
            out += bytes[found - letters];
            at++;
            return;
        }
        if (!next("u00") || at + 2 > text.size() || (text[at] != '0' && text[at] != '1')) {
            refuse("no such escape in the canonical form");
        }
        const char low = text[at + 1];
        if (!((low >= '0' && low <= '9') || (low >= 'a' && low <= 'f'))) {
            refuse("two lower-case hex digits belong here");
        }
        const int value = (text[at] - '0') * 16 + (low <= '9' ? low - '0' : low - 'a' + 10);
        if (memchr("\b\t\n\f\r", value, 5) != nullptr) {
            refuse("this character has a shorter escape");
        }
        out += (char) value;
        at += 2;
    }

    std::string string() {
        expect("\"", "a string belongs here");
        std::string out;
        for (;;) {
            if (at >= text.size()) {
                refuse("a string does not end");
            }
            if (next("\"")) {
                return out;
            }
            if (next("\\")) {
                escape(out);
                continue;
            }
            const size_t start = at;
            uint32_t     character;
            if (!next_character(text, at, character)) {
                refuse("not UTF-8");
            }
            if (character < 0x20) {
                at = start;
                refuse("a control character that is not escaped");
            }
            out.append(text, start, at - start);
        }
    }

    uint64_t integer() {
        const size_t start = at;
        uint64_t     value = 0;
        while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
            if (at - start == MAX_DIGITS) {
                refuse("a number of more than 19 digits");
            }
            value = value * 10 + (uint64_t) (text[at++] - '0');
        }
        if (at == start) {
            refuse("a value belongs here");
        }
        if (value > MAX_INTEGER || (text[start] == '0' && at - start > 1)) {
            refuse("a number out of range, or with a leading zero");
        }
        return value;
    }

    // Everything between an opening and a closing bracket, by `one` for each item.
    template <typename One> void inside(const char * close, One one) {
        if (depth == MAX_DEPTH) {
            refuse("nested too deeply");
        }
        if (next(close)) {
            return;
        }
        depth++;
        do {
            line();
            one();
        } while (next(","));
        depth--;
        line();
        expect(close, "a comma or the closing bracket belongs here");
    }

    json_value value() {
        json_value read;
        if (at < text.size() && text[at] == '"') {
            read.text = string();
        } else if (next("{")) {
            read.is = json_value::OBJECT;
            inside("}", [&] {
                std::string name = string();
                if (!read.names.empty() && !(read.names.back() < name)) {  // bytes of UTF-8 order as code points do
                    refuse("fields out of order, or one named twice");
                }
                read.names.push_back(std::move(name));
                expect(": ", "a colon and one space belong here");
                read.items.push_back(value());
            });
        } else if (next("[")) {
            read.is = json_value::LIST;
            inside("]", [&] { read.items.push_back(value()); });
        } else if (next("true") || next("false")) {
            read.is     = json_value::TRUTH;
            read.number = text[at - 2] == 'u';
        } else {
            read.is     = json_value::NUMBER;
            read.number = integer();
        }
        return read;
    }
};

}

const json_value * json_value::field(const std::string & name) const {
    const auto found = std::lower_bound(names.begin(), names.end(), name);
    return found != names.end() && *found == name ? &items[(size_t) (found - names.begin())] : nullptr;
}

std::string json_value::text_of(const std::string & name, const std::string & absent) const {
    const json_value * found = field(name);
    return found != nullptr && found->is == TEXT ? found->text : absent;
}

uint64_t json_value::number_of(const std::string & name, uint64_t absent) const {
    const json_value * found = field(name);
    return found != nullptr && found->is == NUMBER ? found->number : absent;
}

json_value read_canonical(const std::string & text) {
    if (text.size() > MAX_MANIFEST) {
        throw not_canonical("it is larger than 16 MiB");
    }
    const auto is_mark = [](char c) { return c == ',' || c == '[' || c == '{'; };
    if (std::count_if(text.begin(), text.end(), is_mark) > MAX_MARKS) {
        throw not_canonical("it has more values than are read");
    }
    reader     from{ text };
    json_value read = from.value();
    from.expect("\n", "a line feed ends the text");
    if (from.at != text.size()) {
        from.refuse("something follows the end");
    }
    return read;
}

}
