#include "unfolding.h"

#include "grammar_gate.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace lff {
namespace {

constexpr size_t FOR_EVER = SIZE_MAX;
constexpr size_t BEYOND   = 1000000000;  // numbers beyond are taken for this one

bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

[[noreturn]] void too_much(const std::string & what) { throw refused("the grammar " + what); }

// Follows upstream's parser character by character, so that nothing is hidden from it in what it takes for something else. Where that
// parser would give up, this one goes on: it counts more then, never less.
class counter {
public:
    explicit counter(const std::string & text) : text(text), most(MAX_UNFOLDED + text.size()) {}

    void count() {
        while (at < text.size()) {
            const char c = text[at];
            if (c == '#') {
                comment();
            } else if (c == '"' || c == '[') {
                characters(c == '"' ? '"' : ']');
            } else if (c == '<') {
                token();
            } else if (c == '(') {
                enter();
            } else if (c == ')') {
                leave();
            } else if (c == '*' || c == '+' || c == '?') {
                at++;
                repeat(c == '+', c == '?' ? 1 : FOR_EVER);
            } else if (c == '{') {
                braces();
            } else if (is_word(c)) {
                word();
            } else {
                at++;
                if (c == '.') {
                    item(1);
                } else if (c == '|') {
                    item(1);
                    open.back().last = 0;
                }
            }
        }
    }

private:
    struct sequence {
        size_t elements = 0;  // with repetitions written out
        size_t last     = 0;  // of these, those of what a repetition would repeat
    };

    const std::string &   text;
    const size_t          most;
    size_t                at = 0, sum = 0, rules = 0, named = 0, name = 0;  // named: bytes of names; name: of this rule's
    std::vector<sequence> open = { {} };

    void add(size_t elements) {
        open.back().elements += elements;
        sum += elements;
        if (sum > most) {
            too_much("repeats too much: written out it has more than " + std::to_string(MAX_UNFOLDED) + " elements beside its own");
        }
    }

    void item(size_t elements) {
        add(elements);
        open.back().last = elements;
    }

    // Upstream makes `count` rules that are called after the one they stand in.
    void add_rules(size_t count) {
        rules += count;
        named += count * (name + 8);
        if (rules > MAX_RULES) {
            too_much("comes to more than " + std::to_string(MAX_RULES) + " rules");
        }
        if (named > MAX_NAMES) {
            too_much("has rules with names that are too long");
        }
    }

    void comment() {
        while (at < text.size() && text[at] != '\r' && text[at] != '\n') {
            at++;
        }
    }

    // Spaces as upstream skips them behind a name and between braces.
    void space() {
        while (at < text.size() && strchr(" \t\r\n#", text[at]) != nullptr && text[at] != '\0') {
            text[at] == '#' ? comment() : (void) at++;
        }
    }

    // A literal or a class, up to its end; each character is an element.
    void characters(char end) {
        size_t found = 0;
        for (at++; at < text.size() && text[at] != end; found++) {
            const unsigned char first = (unsigned char) text[at];
            const size_t        wide  = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
            at = std::min(at + (first == '\\' ? 2 : wide), text.size());
        }
        at++;
        item(found);
    }

    // <name> or <[number]>
    void token() {
        while (at < text.size() && text[at] != '>') {
            at++;
        }
        at++;
        item(1);
    }

    void enter() {
        at++;
        add_rules(1);
        open.push_back({});
        if (open.size() > MAX_GRAMMAR_DEPTH + 1) {
            too_much("nests parentheses deeper than " + std::to_string(MAX_GRAMMAR_DEPTH));
        }
    }

    void leave() {
        at++;
        if (open.size() > 1) {
            const size_t inside = open.back().elements;
            open.pop_back();
            open.back().elements += inside;
            open.back().last = inside;
            if (inside == 0) {
                item(1);
            }
        }
    }

    void word() {
        const size_t start = at;
        while (at < text.size() && is_word(text[at])) {
            at++;
        }
        const size_t end = at;
        space();
        if (text.compare(at, 3, "::=") == 0) {
            at += 3;
            name = end - start;
            open = { {} };
            add_rules(1);
        } else {
            at = end;
            item(1);
        }
    }

    size_t number() {
        size_t value = 0;
        for (; at < text.size() && is_digit(text[at]); at++) {
            value = std::min<size_t>(value * 10 + (size_t) (text[at] - '0'), BEYOND);
        }
        return value;
    }

    // {m}, {m,} and {m,n}; what is none of these upstream refuses before it writes anything out.
    void braces() {
        at++;
        space();
        if (at >= text.size() || !is_digit(text[at])) {
            return;
        }
        const size_t low  = number();
        size_t       high = low;
        space();
        if (at < text.size() && text[at] == ',') {
            at++;
            space();
            high = at < text.size() && is_digit(text[at]) ? number() : FOR_EVER;
        }
        if (high < low) {
            too_much("repeats something from " + std::to_string(low) + " to " + std::to_string(high) + " times");
        }
        if (low > MAX_REPEAT) {
            too_much("repeats something " + std::to_string(low) + " times, more than " + std::to_string(MAX_REPEAT));
        }
        repeat(low, high > MAX_REPEAT ? FOR_EVER : high);  // upstream, too, takes such a number for none
    }

    void repeat(size_t low, size_t high) {
        const size_t times = std::max<size_t>(high == FOR_EVER ? low : high, 1);
        const size_t last  = open.back().last;
        add_rules(high == FOR_EVER ? 1 : high - low);
        add(last * (times - 1));
        open.back().last = last * times;
    }
};

}

void check_unfolding(const std::string & text) { counter(text).count(); }

}
