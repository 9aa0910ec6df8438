#include "arguments.h"

#include <cstring>

namespace lff {
namespace {

bool is_space(char c) { return c != '\0' && strchr(" \t\r\n\f\v", c) != nullptr; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
int  value(char c) { return is_digit(c) ? c - '0' : (c | 32) - 'a' + 10; }

char escape(char c) {
    static const char names[] = "abtnvfre", bytes[] = "\a\b\t\n\v\f\r\x1b";
    const char * found = c == '\0' ? nullptr : strchr(names, c);
    return found == nullptr ? c : bytes[found - names];
}

// One pass over the data, as the state machine of the classic engines does it: a backslash before a line end leaves
// the reader between arguments while the argument goes on, an empty argument at the very end is dropped.
struct reader {
    const std::string &        data;
    size_t                     at = 0;
    std::string                text;
    std::vector<std::string>   tokens;
    int                        rest = -1;

    bool more() const { return at < data.size(); }

    void skip_returns() {
        while (more() && data[at] == '\r') {
            at++;
        }
    }

    void number(bool hex, size_t most) {
        const size_t start = at;
        int          total = 0;
        while (more() && at - start < most && (hex ? is_hex(data[at]) : is_digit(data[at]))) {
            total = total * (hex ? 16 : 8) + value(data[at++]);
        }
        if (more() || at - start == most) {
            text += (char) (total & 0xFF);
        }
    }

    void escape_in_quotes() {
        at++;
        skip_returns();
        if (!more()) {
            return;
        }
        if (is_digit(data[at])) {
            number(false, 3);
        } else if (data[at] == 'x') {
            at++;
            if (more() && !is_hex(data[at])) {
                text += 'x';
            } else {
                number(true, 2);
            }
        } else if (data[at] == '\n') {
            at++;
        } else {
            text += escape(data[at++]);
        }
    }

    void double_quotes() {
        at++;
        while (more() && data[at] != '"') {
            if (data[at] == '\\') {
                escape_in_quotes();
            } else {
                text += data[at++];
            }
        }
        at += more();
    }

    void single_quotes() {
        const size_t close = data.find('\'', at + 1);
        text += data.substr(at + 1, close == std::string::npos ? close : close - at - 1);
        at = close == std::string::npos ? data.size() : close + 1;
    }

    // Takes one construct of an argument; false if the reader is between arguments afterwards.
    bool character() {
        if (data[at] == '\'') {
            single_quotes();
        } else if (data[at] == '"') {
            double_quotes();
        } else if (data[at] == '\\') {
            at++;
            skip_returns();
            if (!more()) {
                return true;
            }
            const char c = data[at++];
            if (c == '\n') {
                return false;
            }
            text += escape(c);
        } else {
            text += data[at++];
        }
        return true;
    }

    void finish() {
        if (tokens.size() < MAX_ARGUMENTS) {
            tokens.push_back(text);
        }
        text.clear();
    }

    void read() {
        bool inside = false;
        while (more()) {
            if (is_space(data[at])) {
                if (inside) {
                    finish();
                }
                inside = false;
                at++;
            } else if (inside) {
                inside = character();
            } else if (data[at] == '#') {
                const size_t end = data.find('\n', at);
                at = end == std::string::npos ? data.size() : end + 1;
            } else if (data.compare(at, 3, "...") == 0 && (at + 3 == data.size() || is_space(data[at + 3]))) {
                if (rest < 0) {
                    rest = (int) tokens.size();
                }
                at += 3;
            } else {
                inside = character();
            }
        }
        if (!text.empty()) {
            finish();
        }
    }
};

}

std::vector<std::string> merge_arguments(const std::string & data, const std::vector<std::string> & user) {
    reader r{ data };
    if (data.size() <= MAX_ARGUMENTS_SIZE) {
        r.read();
    }
    const size_t place = r.rest < 0 ? r.tokens.size() : (size_t) r.rest;
    r.tokens.insert(r.tokens.begin() + (std::ptrdiff_t) place, user.begin(), user.end());
    return r.tokens;
}

}
