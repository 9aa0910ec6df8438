#define LFF_GUARD_GRAMMARS
#define LFF_GRAMMAR_GATE
#include "grammar_gate.h"

#include "spent.h"
#include "unfolding.h"
#include "watch.h"

#include <functional>
#include <vector>

namespace lff {
namespace {

thread_local size_t expansions = 0;

bool ends(const llama_grammar_element & element) {
    return element.type == LLAMA_GRETYPE_END || element.type == LLAMA_GRETYPE_ALT;
}

// The rules with which a rule can begin, as upstream's search for left recursion follows them: once for each mention.
std::vector<uint32_t> beginnings(const llama_grammar_rules & rules, size_t index, const std::vector<bool> & empty) {
    std::vector<uint32_t> found;
    bool                  leftmost = true;
    for (const llama_grammar_element & element : rules[index]) {
        if (ends(element)) {
            leftmost = true;
        } else if (element.type == LLAMA_GRETYPE_RULE_REF && leftmost) {
            found.push_back(element.value);
            leftmost = element.value < empty.size() && empty[element.value];
        } else {
            leftmost = false;
        }
    }
    return found;
}

// Rules that may stand for nothing. More than upstream takes for such: those that consist of such rules are counted too.
std::vector<bool> empty_rules(const llama_grammar_rules & rules) {
    struct way {
        size_t rule, left;  // of a rule, an alternative of references alone, and how many of these may not be empty so far
    };
    std::vector<bool>                empty(rules.size());
    std::vector<way>                 ways;
    std::vector<std::vector<size_t>> used(rules.size());  // the ways in which a rule occurs
    std::vector<size_t>              todo;
    for (size_t i = 0; i < rules.size(); i++) {
        std::vector<uint32_t> references;
        bool                  only = true;
        for (const llama_grammar_element & element : rules[i]) {
            if (!ends(element)) {
                only = only && element.type == LLAMA_GRETYPE_RULE_REF && element.value < rules.size();
                references.push_back(element.value);
                continue;
            }
            if (only && references.empty()) {
                todo.push_back(i);
            } else if (only) {
                for (const uint32_t rule : references) {
                    used[rule].push_back(ways.size());
                }
                ways.push_back({ i, references.size() });
            }
            references.clear();
            only = true;
        }
    }
    while (!todo.empty()) {
        const size_t rule = todo.back();
        todo.pop_back();
        if (!empty[rule]) {
            empty[rule] = true;
            for (const size_t index : used[rule]) {
                if (--ways[index].left == 0) {
                    todo.push_back(ways[index].rule);
                }
            }
        }
    }
    return empty;
}

struct cost {
    size_t paths = 0;  // 0: not known yet
    int    depth = 0;
    bool   open  = false;
};

// Counts the ways from every rule down to its first character, each rule once and without recursion. A rule that begins
// with itself is left to upstream, which refuses it.
void check_rules(const llama_grammar_rules & rules) {
    if (rules.size() > MAX_RULES) {
        throw refused("the grammar comes to " + std::to_string(rules.size()) + " rules, more than " + std::to_string(MAX_RULES));
    }
    const std::vector<bool> empty = empty_rules(rules);
    std::vector<cost>       costs(rules.size());
    for (size_t start = 0; start < rules.size(); start++) {
        std::vector<size_t> todo = { start };
        while (!todo.empty()) {
            const size_t index = todo.back();
            cost &       own   = costs[index];
            if (own.paths > 0) {
                todo.pop_back();
                continue;
            }
            const std::vector<uint32_t> next = beginnings(rules, index, empty);
            if (!own.open) {
                own.open = true;
                for (const uint32_t rule : next) {
                    if (rule < rules.size() && costs[rule].paths == 0 && !costs[rule].open) {
                        todo.push_back(rule);
                    }
                }
                continue;
            }
            own.paths = 1;
            for (const uint32_t rule : next) {
                if (rule < rules.size()) {
                    own.paths += costs[rule].paths;
                    own.depth = std::max(own.depth, costs[rule].depth + 1);
                }
            }
            if (own.paths > MAX_LEFTMOST_PATHS || own.depth > MAX_RULE_DEPTH) {
                throw refused("the grammar is too complex: its rules can begin in more than " + std::to_string(MAX_LEFTMOST_PATHS) +
                              " ways, or " + std::to_string(MAX_RULE_DEPTH) + " rules deep");
            }
            todo.pop_back();
        }
    }
}

}

void check_grammar_text(const std::string & text) {
    if (text.size() > MAX_GRAMMAR) {
        throw refused("the grammar has " + std::to_string(text.size()) + " bytes, more than " + std::to_string(MAX_GRAMMAR));
    }
    check_unfolding(text);
}

void check_pattern(const std::string & pattern) {
    if (pattern.size() > MAX_PATTERN) {
        throw refused("a pattern has " + std::to_string(pattern.size()) + " bytes, more than " + std::to_string(MAX_PATTERN));
    }
    int depth = 0;
    for (const char c : pattern) {
        depth += c == '(';
        depth -= c == ')';
        if (depth > MAX_PATTERN_DEPTH) {
            throw refused("a pattern nests parentheses deeper than " + std::to_string(MAX_PATTERN_DEPTH));
        }
    }
}

void expand_grammar(size_t found) {
    if (found > MAX_EXPANSION || ++expansions > MAX_EXPANSIONS) {
        throw refused("the grammar is too complex: there are too many ways to go on");
    }
}

}

llama_grammar * lff_grammar_init(const llama_vocab * vocab, const char * text, const char * root, bool lazy, const char ** patterns,
                                 size_t pattern_count, const llama_token * tokens, size_t token_count) {
    const uint64_t shape = std::hash<std::string>()(text);
    if (lff::is_refused(shape)) {
        throw lff::refused("the grammar has stopped this server before");
    }
    const lff::work under_watch(shape);
    lff::check_grammar_text(text);
    for (size_t i = 0; i < pattern_count; i++) {
        lff::check_pattern(patterns[i]);
    }
    llama_grammar_parser parser(vocab);
    if (parser.parse(text)) {
        lff::check_rules(parser.rules);
    }
    lff::expansions = 0;
    return llama_grammar_init_impl(vocab, text, root, lazy, patterns, pattern_count, tokens, token_count);
}

void lff_grammar_apply(const llama_grammar & grammar, llama_token_data_array * candidates) {
    lff::expansions = 0;
    llama_grammar_apply_impl(grammar, candidates);
}

void lff_grammar_accept(llama_grammar & grammar, llama_token token) {
    lff::expansions = 0;
    const bool    looking = grammar.awaiting_trigger;  // its patterns are searched for in all that was said, at every token
    const int64_t before  = lff::left_over();
    llama_grammar_accept_impl(grammar, token);
    const size_t searched = grammar.trigger_buffer.size() * (grammar.trigger_patterns.size() + 1);
    if (looking && before - lff::left_over() > (int64_t) (lff::MAX_TRIGGER_WORK + lff::WORK_PER_SEARCHED * searched)) {
        throw lff::refused("the grammar has triggers that take too long to look for");
    }
    if (grammar.stacks.size() > lff::MAX_STACKS) {
        throw lff::refused("the grammar is too complex: after " + std::to_string(lff::MAX_STACKS) + " ways to go on the answer ends");
    }
}
