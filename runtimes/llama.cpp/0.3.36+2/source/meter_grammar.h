// Forced in front of upstream's llama-grammar.cpp (cmake/server.cmake). Its only std::set holds the stacks that a position
// of a grammar expands to: one entry for each way to go on. Of an ambiguous grammar there are exponentially many.
#pragma once

#include "grammar_gate.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <regex>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace std {

template <typename Key, typename Compare> struct lff_set : set<Key, Compare> {
    using set<Key, Compare>::set;
    auto insert(Key && key) {
        lff::expand_grammar(this->size());
        return set<Key, Compare>::insert(move(key));
    }
};

}

#define set lff_set
