#include "gate.h"

#include "grammar_gate.h"
#include "schema_gate.h"

#include <algorithm>
#include <vector>

namespace lff {

measures measured;

namespace {

struct list_limit {
    const char * name;
    size_t       items;
    size_t       each;  // bytes of an item that is a string
};

// Lists of a request, each with as much as anybody was seen to need, and room.
constexpr list_limit LISTS[] = {
    { "messages", 4096, MAX_BODY },    { "input", 4096, MAX_BODY },          { "documents", 4096, MAX_BODY },
    { "tools", 256, MAX_BODY },        { "stop", 64, 1024 },                 { "samplers", 64, 64 },
    { "grammar_triggers", 64, 1024 },  { "dry_sequence_breakers", 64, 256 }, { "preserved_tokens", 1024, 256 },
    { "response_fields", 256, 256 },   { "lora", 256, 256 },                 { "reasoning_budget_end_tags", 64, 256 },
};
constexpr size_t  MAX_PROMPTS = 256;
constexpr size_t  MAX_BIASED  = 256;  // bytes of a text in logit_bias
constexpr int64_t TRIGGERS    = 4;    // kinds of them, from 0

// Numbers that cost memory or time as they grow, and gain nothing beyond the context or the vocabulary.
const char * const UP_TO_CONTEXT[] = { "repeat_last_n", "dry_penalty_last_n", "dry_allowed_length", "n_keep", "n_discard",
                                       "n_cache_reuse", "n_indent", "reasoning_budget_tokens" };
const char * const UP_TO_ROOM[]    = { "n_predict", "max_tokens", "max_completion_tokens", "max_output_tokens" };
const char * const UP_TO_WORDS[]   = { "top_k", "min_keep" };
const char * const UP_TO_LISTED[]  = { "n_probs", "top_logprobs", "logprobs" };
constexpr int64_t  MOST_LISTED     = 128;

[[noreturn]] void too_many(const std::string & name, size_t found, size_t most) {
    throw refused(name + " has " + std::to_string(found) + " items, more than " + std::to_string(most));
}

// Walks over a JSON text once. Upstream's parser judges the rest; this sees to it that it can be asked.
struct scanner {
    const std::string & text;
    size_t              at    = 0;
    int                 depth = 0;
    size_t              values = 0;

    [[noreturn]] void fail(const char * why) const {
        throw refused(std::string("the request is not JSON: ") + why + " at byte " + std::to_string(at));
    }

    // One character of more than one byte: shortest form, no surrogates, at most U+10FFFF (RFC 3629).
    void wide() {
        const unsigned char first = (unsigned char) text[at];
        const int           more  = first >= 0xF0 && first <= 0xF4 ? 3 : first >= 0xE0 && first < 0xF0 ? 2 : first >= 0xC2 && first < 0xE0 ? 1 : 0;
        if (more == 0 || at + (size_t) more >= text.size()) {
            fail("bytes that are not UTF-8");
        }
        const unsigned char second = (unsigned char) text[at + 1];
        const unsigned char low    = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
        const unsigned char high   = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
        bool                good   = second >= low && second <= high;
        for (int i = 2; i <= more; i++) {
            good = good && ((unsigned char) text[at + (size_t) i] & 0xC0) == 0x80;
        }
        if (!good) {
            fail("bytes that are not UTF-8");
        }
        at += (size_t) more;
    }

    void quoted() {
        for (at++; at < text.size() && text[at] != '"'; at++) {
            if (text[at] == '\\') {
                at++;
            } else if ((unsigned char) text[at] >= 0x80) {
                wide();
            } else if ((unsigned char) text[at] < 0x20) {
                fail("a control character in a string");
            }
        }
        if (at >= text.size()) {
            fail("a string without its end");
        }
    }

    void scan() {
        for (; at < text.size(); at++) {
            const char c = text[at];
            if (c == '"') {
                quoted();
            } else if (c == '[' || c == '{') {
                values++;
                if (++depth > MAX_DEPTH) {
                    throw refused("the request nests deeper than " + std::to_string(MAX_DEPTH) + " levels");
                }
            } else if (c == ']' || c == '}') {
                depth--;
            } else if (c == ',') {
                values++;
            } else if ((unsigned char) c >= 0x80) {
                fail("bytes outside a string");
            }
        }
        if (values > MAX_VALUES) {
            throw refused("the request has " + std::to_string(values) + " values, more than " + std::to_string(MAX_VALUES));
        }
    }
};

// {"text": bias} or [["text", bias]]: each text is made tokens of, again for each answer.
void check_biases(const common_json & biases) {
    for (const auto & item : biases.items()) {
        const common_json & pair = item.value();
        const bool          text = pair.is_array() && !pair.empty() && pair.at((size_t) 0).is_string();
        if ((biases.is_object() ? item.key() : text ? pair.at((size_t) 0).get<std::string>() : "").size() > MAX_BIASED) {
            throw refused("a text in logit_bias has more than " + std::to_string(MAX_BIASED) + " bytes");
        }
    }
}

// Bytes of all strings that a request gives to be made tokens of: nobody can stop that, or see how far it is. Pictures stand elsewhere.
size_t text_in(const common_json & value, bool counts) {
    size_t sum = 0;
    if (value.is_string()) {
        return counts ? value.get<std::string>().size() : 0;
    }
    if (value.is_array()) {
        for (const common_json & item : value) {
            sum += text_in(item, counts);
        }
    } else if (value.is_object()) {
        static const char * const texts[] = { "prompt", "prompt_string", "content", "text", "input", "query", "documents",
                                              "input_prefix", "input_suffix", "instructions", "system", "arguments" };
        for (const auto & item : value.items()) {
            sum += text_in(item.value(), std::find(std::begin(texts), std::end(texts), item.key()) != std::end(texts));
        }
    }
    return sum;
}

void check_lists(const common_json & request) {
    for (const list_limit & limit : LISTS) {
        if (!request.contains(limit.name)) {
            continue;
        }
        const common_json & list = request.at(limit.name);
        if (list.is_string() && list.get<std::string>().size() > limit.each) {
            throw refused(std::string(limit.name) + " has more than " + std::to_string(limit.each) + " bytes");
        }
        if (!list.is_array()) {
            continue;
        }
        if (list.size() > limit.items) {
            too_many(limit.name, list.size(), limit.items);
        }
        for (const common_json & item : list) {
            if (item.is_string() && item.get<std::string>().size() > limit.each) {
                throw refused(std::string("an item of ") + limit.name + " has more than " + std::to_string(limit.each) + " bytes");
            }
        }
    }
    if (request.contains("prompt") && request.at("prompt").is_array() && request.at("prompt").size() > MAX_PROMPTS) {
        const common_json & prompts = request.at("prompt");
        if (!prompts.at((size_t) 0).is_number()) {  // numbers: one prompt, of tokens
            too_many("prompt", prompts.size(), MAX_PROMPTS);
        }
    }
    if (request.contains("logit_bias")) {
        check_biases(request.at("logit_bias"));
    }
    if (request.contains("logit_bias") && measured.vocabulary > 0 && request.at("logit_bias").size() > (size_t) measured.vocabulary) {
        too_many("logit_bias", request.at("logit_bias").size(), (size_t) measured.vocabulary);
    }
}

bool is_list_of_objects(const common_json & value) {
    if (!value.is_array()) {
        return false;
    }
    for (const common_json & item : value) {
        if (!item.is_object()) {
            return false;
        }
    }
    return true;
}

// Of another kind of trigger, or of a token that is none, upstream believes that nobody asks for it.
void check_kind(const common_json & trigger) {
    const auto whole = [&](const char * name, int64_t most) {
        return !trigger.contains(name) || (trigger.at(name).is_number_integer() && trigger.at(name).get<int64_t>() >= 0 && trigger.at(name).get<int64_t>() < most);
    };
    if (!trigger.is_object() || !whole("type", TRIGGERS) || !whole("token", measured.vocabulary > 0 ? measured.vocabulary : INT32_MAX)) {
        throw refused("grammar_triggers has one of a kind that there is not, or with a token that there is not");
    }
}

// What upstream's handlers tell each other in a request, and believe.
void check_own_words(const common_json & request) {
    for (const char * name : { "chat_parser", "grammar_type" }) {
        if (request.contains(name)) {
            throw refused(std::string(name) + " is for the engine to say");
        }
    }
    if (request.contains("tools") && !request.at("tools").is_null() && !is_list_of_objects(request.at("tools"))) {
        throw refused("tools is a list of objects");
    }
}

void check_grammars(const common_json & request) {
    if (request.contains("grammar") && request.at("grammar").is_string()) {
        check_grammar_text(request.at("grammar").get<std::string>());
    }
    if (request.contains("grammar_triggers") && request.at("grammar_triggers").is_array()) {
        for (const common_json & trigger : request.at("grammar_triggers")) {
            if (trigger.is_object() && trigger.contains("value") && trigger.at("value").is_string()) {
                check_pattern(trigger.at("value").get<std::string>());
            }
            check_kind(trigger);
        }
    }
    check_schemas(request);
}

template <size_t Count> bool lower(common_json & request, const char * const (&names)[Count], int64_t most) {
    bool changed = false;
    for (const char * name : names) {
        if (most > 0 && request.contains(name) && request.at(name).is_number() && request.at(name).get<double>() > (double) most) {
            request[name] = most;
            changed       = true;
        }
    }
    return changed;
}

void check_tokens(const common_json & tokens) {
    for (const common_json & token : tokens) {
        if (token.is_number() && (token.get<double>() < 0 || token.get<double>() >= (double) measured.vocabulary)) {
            throw refused("there is no token " + token.dump() + ": the vocabulary has " + std::to_string(measured.vocabulary));
        }
    }
}

}

void check_json(const std::string & text) { scanner{ text }.scan(); }

letter admit(const std::string & path, const std::string & body) {
    check_json(body);
    letter        read;
    common_json & request = read.json;
    try {
        request = common_json::parse(body);
    } catch (const common_json_error & error) {
        throw refused(std::string("the request is not JSON: ") + error.what());
    }
    if (!request.is_object()) {
        return read;
    }
    if (text_in(request, false) > MAX_TEXT) {
        throw refused("the request has more than " + std::to_string(MAX_TEXT) + " bytes of text");
    }
    check_lists(request);
    check_own_words(request);
    check_grammars(request);
    if (path == "/detokenize" && measured.vocabulary > 0 && request.contains("tokens")) {
        check_tokens(request.at("tokens"));
    }
    read.changed = lower(request, UP_TO_CONTEXT, measured.context);
    read.changed |= !measured.shifts && lower(request, UP_TO_ROOM, measured.context);
    read.changed |= lower(request, UP_TO_WORDS, measured.vocabulary);
    read.changed |= lower(request, UP_TO_LISTED, MOST_LISTED);
    return read;
}

}
