// Text from a file: whether it is what it should be, and how it is shown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace lff {

// Reads one character of UTF-8 at `at` and moves behind it. False, and nothing moved, where there is none: bytes that
// are no UTF-8, a surrogate, a longer form than needed, more than U+10FFFF.
bool next_character(const std::string & text, size_t & at, uint32_t & character);

bool is_utf8(const std::string & text);
// 1 to `most` characters, no controls but line feed and tab, and nothing that is not seen or turns text around.
bool is_printable(const std::string & text, size_t most);

// Whether people see it, or it is a line feed or a tab: no other control, no blank that is none, nothing that turns text around.
bool is_seen(uint32_t character);

// Made safe for a terminal: control and non-ASCII bytes as \xNN.
std::string shown(const std::string & text);

// As a string of JSON in the form of clause 5.2.2. A byte that is no UTF-8 is written \udcNN.
std::string quoted_json(const std::string & text);

}
