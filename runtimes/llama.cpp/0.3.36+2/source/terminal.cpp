#include "terminal.h"

#include "text.h"

#include <cstdarg>

namespace lff {
std::string escaped(const std::string & text, size_t most) {
    static const char digits[] = "0123456789abcdef";
    std::string       out;
    for (size_t at = 0; at < text.size();) {
        if (at >= most && text.size() - at > 1) {
            return out + "... (" + std::to_string(text.size() - at) + " bytes more)\n";
        }
        const size_t start     = at;
        uint32_t     character = 0;
        if (!next_character(text, at, character)) {
            at++;
            character = 0;
        }
        if (character == '\n') {
            out += at < text.size() && text[at] != '\n' ? "\n  " : "\n";
        } else if (is_seen(character)) {
            out.append(text, start, at - start);
        } else {
            for (size_t i = start; i < at; i++) {
                out += std::string("\\x") + digits[(unsigned char) text[i] >> 4] + digits[text[i] & 15];
            }
        }
    }
    return out;
}

int say(FILE * file, const char * format, ...) {
    va_list given, again;
    va_start(given, format);
    va_copy(again, given);
    const int   length = vsnprintf(nullptr, 0, format, given);
    std::string text(length > 0 ? (size_t) length : 0, '\0');
    vsnprintf(&text[0], text.size() + 1, format, again);
    va_end(again);
    va_end(given);
    return fputs(escaped(text).c_str(), file);
}

}
