#include "text.h"

#include <cstdio>

namespace lff {
namespace {

struct range {
    uint32_t first, last;
};

// Blanks that are no blank, controls, private characters, and what turns the direction of text around.
constexpr range UNSEEN[] = {
    { 0x7F, 0xA0 },     { 0xAD, 0xAD },     { 0x600, 0x605 },   { 0x61C, 0x61C },     { 0x6DD, 0x6DD },     { 0x70F, 0x70F },
    { 0x1680, 0x1680 }, { 0x180E, 0x180E }, { 0x2000, 0x200F }, { 0x2028, 0x202F },   { 0x205F, 0x206F },   { 0x3000, 0x3000 },
    { 0xE000, 0xF8FF }, { 0xFEFF, 0xFEFF }, { 0xFFF0, 0xFFFB }, { 0xE0000, 0xE0FFF }, { 0xF0000, 0x10FFFF },
};

std::string escaped(const char * form, unsigned value) {
    char out[16];
    snprintf(out, sizeof out, form, value);
    return out;
}

}

bool is_seen(uint32_t character) {
    if (character < 0x20) {
        return character == '\n' || character == '\t';
    }
    for (const range & each : UNSEEN) {
        if (each.first <= character && character <= each.last) {
            return false;
        }
    }
    return true;
}

bool next_character(const std::string & text, size_t & at, uint32_t & character) {
    const unsigned char first = (unsigned char) text[at];
    if (first < 0x80) {
        character = first;
        at++;
        return true;
    }
    const int more = first >= 0xF0 && first < 0xF5 ? 3 : first >= 0xE0 && first < 0xF0 ? 2 : first >= 0xC2 && first < 0xE0 ? 1 : 0;
    if (more == 0 || (size_t) more >= text.size() - at) {
        return false;
    }
    uint32_t value = first & (0x3Fu >> more);
    for (int i = 1; i <= more; i++) {
        const unsigned char byte = (unsigned char) text[at + (size_t) i];
        if ((byte & 0xC0) != 0x80) {
            return false;
        }
        value = value << 6 | (byte & 0x3Fu);
    }
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    if (value < least[more] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
        return false;
    }
    character = value;
    at += (size_t) more + 1;
    return true;
}

bool is_utf8(const std::string & text) {
    uint32_t character;
    for (size_t at = 0; at < text.size();) {
        if (!next_character(text, at, character)) {
            return false;
        }
    }
    return true;
}

bool is_printable(const std::string & text, size_t most) {
    uint32_t character;
    size_t   count = 0;
    for (size_t at = 0; at < text.size(); count++) {
        if (!next_character(text, at, character) || !is_seen(character)) {
            return false;
        }
    }
    return count > 0 && count <= most;
}

std::string shown(const std::string & text) {
    std::string out;
    for (const char c : text) {
        const unsigned char byte = (unsigned char) c;
        out += byte < 0x20 || byte > 0x7E ? escaped("\\x%02x", byte) : std::string(1, c);
    }
    return out;
}

std::string quoted_json(const std::string & text) {
    static const char letters[] = "btn\0fr";  // of U+0008 to U+000D
    std::string out = "\"";
    uint32_t    character;
    for (size_t at = 0; at < text.size();) {
        const size_t start = at;
        if (!next_character(text, at, character)) {
            out += escaped("\\udc%02x", (unsigned char) text[at++]);
        } else if (character == '"' || character == '\\') {
            out += std::string("\\") + (char) character;
        } else if (character >= 8 && character <= 13 && letters[character - 8] != '\0') {
            out += std::string("\\") + letters[character - 8];
        } else if (character < 0x20) {
            out += escaped("\\u%04x", character);
        } else {
            out += text.substr(start, at - start);
        }
    }
    return out + "\"";
}

}
