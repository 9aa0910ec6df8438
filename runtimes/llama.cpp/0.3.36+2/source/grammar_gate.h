// What a grammar may cost. Upstream's functions for grammars are called through these (cmake/server.cmake forces this header
// in front of llama-sampler.cpp); each throws `refused` where the grammar, not the model, would keep everybody waiting.
#pragma once

#include "meter.h"

#include <cstddef>
#include <string>

namespace lff {

#include "unfolding.inc"

constexpr size_t MAX_GRAMMAR         = 1u << 20;  // bytes
constexpr int    MAX_GRAMMAR_DEPTH   = 100;       // of parentheses
constexpr size_t MAX_RULES           = 10000;
constexpr size_t MAX_NAMES           = 16u << 20; // bytes of the names of rules that repetitions and parentheses make
constexpr int    MAX_RULE_DEPTH      = 1000;      // rules that begin with rules that begin with rules
constexpr size_t MAX_LEFTMOST_PATHS  = 1000000;   // ways from a rule down to its first character
constexpr size_t MAX_STACKS          = 1000;      // ways to go on, after a token
constexpr size_t MAX_EXPANSION       = 10000;     // ways to go on, from one position
constexpr size_t MAX_EXPANSIONS      = 2000000;   // steps, for one token
constexpr size_t MAX_PATTERN         = 1024;      // bytes of a regular expression
constexpr int    MAX_PATTERN_DEPTH   = 16;        // of its parentheses
constexpr size_t MAX_TRIGGER_WORK    = 4u << 20;  // bytes allocated while one token's triggers are looked for, and for each
constexpr size_t WORK_PER_SEARCHED   = 1u << 10;  // byte that each pattern is looked for in

// Throws unless the text is one that upstream's parser can take: it is recursive, and writes out what is repeated (unfolding.h).
void check_grammar_text(const std::string & text);
void check_pattern(const std::string & pattern);
// Called for every way that is found to go on, with how many the same position has already.
void expand_grammar(size_t found);

}

#if defined(LFF_GUARD_GRAMMARS)

#  include "llama-grammar.h"

llama_grammar * lff_grammar_init(const llama_vocab * vocab, const char * text, const char * root, bool lazy, const char ** patterns,
                                 size_t pattern_count, const llama_token * tokens, size_t token_count);
void            lff_grammar_apply(const llama_grammar & grammar, llama_token_data_array * candidates);
void            lff_grammar_accept(llama_grammar & grammar, llama_token token);

#  if !defined(LFF_GRAMMAR_GATE)
#    define llama_grammar_init_impl   lff_grammar_init
#    define llama_grammar_apply_impl  lff_grammar_apply
#    define llama_grammar_accept_impl lff_grammar_accept
#  endif

#endif
