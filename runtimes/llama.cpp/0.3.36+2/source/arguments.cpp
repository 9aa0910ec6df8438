#include "arguments.h"

#include <algorithm>
#include <cstring>

namespace lff {
namespace {

bool is_space(char c) { return c != '\0' && strchr(" \t\r\n\f\v", c) != nullptr; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
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
    bool                       variables;  // $NAME and ${NAME} are not text
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

    void dollar() {
        const size_t start = at++;
        if (more() && is_name(data[at])) {
            while (more() && is_name(data[at])) {
                at++;
            }
            text += "${" + data.substr(start + 1, at - start - 1) + "}";
        } else if (more() && data[at] == '{') {
            const size_t close = data.find('}', at);
            at = close == std::string::npos ? data.size() : close + 1;
            text += data.substr(start, at - start);
        } else {
            text += '$';
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
            } else if (variables && data[at] == '$') {
                if (at + 1 == data.size()) {  // the engine drops a dollar that nothing follows here
                    at++;
                    return;
                }
                dollar();
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
        } else if (variables && data[at] == '$') {
            dollar();
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
        tokens.push_back(text);
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

// One argument a line; a NUL ends the data (3.8.2).
parsed_arguments split_lines(const std::string & data) {
    const std::string text = data.substr(0, data.find('\0'));
    parsed_arguments  found;
    for (size_t at = text.find_first_not_of("\r\n"); at != std::string::npos;) {
        const size_t end = std::min(text.find_first_of("\r\n", at), text.size());
        found.tokens.push_back(text.substr(at, end - at));
        at = text.find_first_not_of("\r\n", end);
    }
    if (!found.tokens.empty() && found.tokens.back() == "...") {
        found.tokens.pop_back();
        found.rest = (int) found.tokens.size();
    }
    for (std::string & token : found.tokens) {
        for (size_t at = 0; (at = token.find("\\n", at)) != std::string::npos; at++) {
            token.replace(at, 2, "\n");
        }
    }
    return found;
}

}

parsed_arguments parse_arguments(const std::string & data, dialect d) {
    parsed_arguments found;
    if (data.size() > MAX_ARGUMENTS_SIZE) {
        return found;
    }
    if (d == dialect::lines) {
        found = split_lines(data);
    } else {
        reader r{ data, d != dialect::native, 0, "", {}, -1 };
        r.read();
        found.tokens = std::move(r.tokens);
        found.rest   = r.rest;
    }
    found.dropped = found.tokens.size() > MAX_ARGUMENTS;
    if (found.dropped) {
        found.tokens.resize(MAX_ARGUMENTS);
    }
    found.rest = std::min(found.rest, (int) found.tokens.size());
    return found;
}

}
