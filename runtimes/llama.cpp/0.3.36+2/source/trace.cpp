#include "trace.h"

#include "build.h"
#include "json.h"
#include "sha256.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>

namespace lff {
namespace {

constexpr size_t MAX_REQUEST = 16u << 20;  // bytes

std::string read_request() {
    std::string text;
    char        piece[65536];
    for (size_t got; (got = fread(piece, 1, sizeof piece, stdin)) > 0 && text.size() <= MAX_REQUEST;) {
        text.append(piece, got);
    }
    if (text.size() > MAX_REQUEST) {
        throw failure("the request is larger than 16 MiB");
    }
    return text;
}

std::string quoted(const std::string & text) { return common_json::make(text).dump_safe(); }
std::string hex(const std::string & text) { return lff::hex(text.data(), text.size()); }

std::string list(const std::vector<llama_token> & tokens) {
    std::string out = "[";
    for (size_t i = 0; i < tokens.size(); i++) {
        out += (i ? "," : "") + std::to_string(tokens[i]);
    }
    return out + "]";
}

// The `count` likeliest tokens with the exact bits of their logits; of equals the lowest id first.
std::string likeliest(const float * row, int vocabulary, int count) {
    std::vector<llama_token> order((size_t) vocabulary);
    for (int i = 0; i < vocabulary; i++) {
        order[(size_t) i] = i;
    }
    count = std::min(count, vocabulary);
    std::partial_sort(order.begin(), order.begin() + count, order.end(), [row](llama_token a, llama_token b) {
        return row[a] != row[b] ? row[a] > row[b] : a < b;
    });
    std::string out = "[";
    for (int i = 0; i < count; i++) {
        char bits[16];
        snprintf(bits, sizeof bits, "%08" PRIx32, float_bits(row[order[(size_t) i]]));
        out += (i ? ",[" : "[") + std::to_string(order[(size_t) i]) + ",\"" + bits + "\"]";
    }
    return out + "]";
}

void trace_prompt(session & talk, const common_json & prompt, int64_t time) {
    const std::string id   = quoted(prompt.at("id").get<std::string>());
    const bool        chat = prompt.contains("messages");
    const std::string text = chat ? talk.render(prompt.at("messages"), time) : prompt.at("text").get<std::string>();
    const std::vector<llama_token> tokens =
        talk.tokenize(text, prompt.value("add_special", true), prompt.value("parse_special", chat));
    printf("{\"event\":\"prompt\",\"id\":%s,\"rendered\":\"%s\",\"tokens\":%s}\n", id.c_str(), hex(text).c_str(), list(tokens).c_str());

    const int    limit  = prompt.at("max_tokens").get<int>();
    const int    top    = prompt.value("top", 5);
    const char * reason = "length";
    talk.reset();
    if (tokens.empty() || tokens.size() > talk.room()) {
        reason = "context";
    } else {
        talk.feed(tokens);
        for (int step = 0; step < limit; step++) {
            const llama_token next = talk.likeliest();
            printf("{\"event\":\"step\",\"id\":%s,\"step\":%d,\"token\":%d,\"piece\":\"%s\",\"logits\":\"%s\",\"top\":%s}\n", id.c_str(), step,
                   next, hex(talk.piece(next, true)).c_str(),
                   sha256().update_floats(talk.logits(), (size_t) talk.vocabulary_size()).hex().c_str(),
                   likeliest(talk.logits(), talk.vocabulary_size(), top).c_str());
            fflush(stdout);
            if (talk.ends(next)) {
                reason = "end-of-generation";
                break;
            }
            if (step + 1 < limit) {
                if (talk.room() == 0) {
                    reason = "context";
                    break;
                }
                talk.feed({ next });
            }
        }
    }
    printf("{\"event\":\"end\",\"id\":%s,\"reason\":\"%s\"}\n", id.c_str(), reason);
    fflush(stdout);
}

// -log softmax(row)[token], in double precision and a fixed order of summation.
double surprise(const float * row, int vocabulary, llama_token token) {
    const float highest = *std::max_element(row, row + vocabulary);
    double      sum     = 0;
    for (int i = 0; i < vocabulary; i++) {
        sum += std::exp((double) row[i] - (double) highest);
    }
    return std::log(sum) - ((double) row[token] - (double) highest);
}

void trace_likelihood(session & talk, const std::string & text) {
    std::vector<llama_token> tokens = talk.tokenize(text, true, false);
    tokens.resize(std::min<size_t>(tokens.size(), talk.size));
    talk.reset();
    const int  vocabulary = talk.vocabulary_size();
    double     total      = 0;
    long       count      = 0;
    sha256     digest;
    talk.feed_all(tokens, [&](size_t i, const float * row) {
        digest.update_floats(row, (size_t) vocabulary);
        if (i + 1 < tokens.size()) {
            total += surprise(row, vocabulary, tokens[i + 1]);
            count++;
        }
    });
    printf("{\"event\":\"nll\",\"count\":%ld,\"tokens\":%s,\"bits\":\"%016" PRIx64 "\",\"value\":%.9g,\"logits\":\"%s\"}\n", count,
           list(tokens).c_str(), double_bits(total), total, digest.hex().c_str());
}

}

int trace(settings model) {
    const common_json request = common_json::parse(read_request());
    if (request.at("version").get<int>() != 1) {
        throw failure("the request is of another version than 1");
    }
    model.threads         = request.value("threads", 1);
    model.context         = (uint32_t) request.value("context", 512);
    model.batch           = (uint32_t) request.value("batch", 512);
    model.flash_attention = request.value("flash_attention", false);
    const int64_t time    = request.value("time", (int64_t) 0);
    if (model.batch == 0) {
        throw failure("batch must be at least 1");
    }

    session talk(model);
    printf("{\"event\":\"runtime\",\"engine\":\"llama.cpp\",\"version\":\"%s\",\"target\":\"%s\",\"flavour\":\"%s\",\"cpu\":\"%s\",\"device\":\"cpu\","
           "\"vocabulary\":%d,\"context\":%u,\"threads\":%d,\"batch\":%u}\n",
           ENGINE_VERSION, TARGET, FLAVOUR, cpu_level(), talk.vocabulary_size(), talk.size, talk.threads, model.batch);
    fflush(stdout);
    for (const common_json & prompt : request.at("prompts")) {
        trace_prompt(talk, prompt, time);
    }
    if (request.contains("nll")) {
        trace_likelihood(talk, request.at("nll").at("text").get<std::string>());
    }
    printf("{\"event\":\"done\"}\n");
    return 0;
}

}
