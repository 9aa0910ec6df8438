// The trace of clause 14.6.5, of this engine.
#include "build.h"
#include "json.h"
#include "sha256.h"
#include "work.h"

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

std::string hex_of(const std::string & text) { return hex(text.data(), text.size()); }

std::string list(const std::vector<int64_t> & tokens) {
    std::string out = "[";
    for (size_t i = 0; i < tokens.size(); i++) {
        out += (i ? "," : "") + std::to_string(tokens[i]);
    }
    return out + "]";
}

std::string likeliest(const float * row, int vocabulary, int count) {
    std::vector<int> order((size_t) vocabulary);
    for (int i = 0; i < vocabulary; i++) {
        order[(size_t) i] = i;
    }
    count = std::min(count, vocabulary);
    std::partial_sort(order.begin(), order.begin() + count, order.end(), [row](int a, int b) { return row[a] != row[b] ? row[a] > row[b] : a < b; });
    std::string out = "[";
    for (int i = 0; i < count; i++) {
        char bits[16];
        snprintf(bits, sizeof bits, "%08" PRIx32, float_bits(row[order[(size_t) i]]));
        out += (i ? ",[" : "[") + std::to_string(order[(size_t) i]) + ",\"" + bits + "\"]";
    }
    return out + "]";
}

std::string text_of(const model & talk, const common_json & prompt) {
    if (!prompt.contains("messages")) {
        return prompt.at("text").get<std::string>();
    }
    std::string text;
    for (const common_json & one : prompt.at("messages")) {
        text += talk.words().message(one.at("role").get<std::string>(), one.at("content").get<std::string>());
    }
    return text + talk.words().answer;
}

void trace_prompt(model & talk, const common_json & prompt) {
    const std::string          id     = common_json::make(prompt.at("id").get<std::string>()).dump_safe();
    const std::string          text   = text_of(talk, prompt);
    const std::vector<int64_t> tokens = talk.words().tokenize(text, prompt.value("add_special", true));
    printf("{\"event\":\"prompt\",\"id\":%s,\"rendered\":\"%s\",\"tokens\":%s}\n", id.c_str(), hex_of(text).c_str(), list(tokens).c_str());
    const int    limit  = prompt.at("max_tokens").get<int>(), top = prompt.value("top", 5);
    const char * reason = "length";
    talk.reset();
    if (tokens.empty() || tokens.size() > talk.room()) {
        reason = "context";
    } else {
        talk.feed(tokens);
        for (int step = 0; step < limit; step++) {
            const int64_t next = talk.likeliest();
            printf("{\"event\":\"step\",\"id\":%s,\"step\":%d,\"token\":%" PRId64 ",\"piece\":\"%s\",\"logits\":\"%s\",\"top\":%s}\n", id.c_str(), step, next,
                   hex_of(talk.words().piece(next)).c_str(), sha256().update_floats(talk.logits(), (size_t) talk.vocabulary()).hex().c_str(),
                   likeliest(talk.logits(), talk.vocabulary(), top).c_str());
            fflush(stdout);
            if (talk.words().ends(next)) {
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

double surprise(const float * row, int vocabulary, int64_t token) {
    const float highest = *std::max_element(row, row + vocabulary);
    double      sum     = 0;
    for (int i = 0; i < vocabulary; i++) {
        sum += std::exp((double) row[i] - (double) highest);
    }
    return std::log(sum) - ((double) row[token] - (double) highest);
}

void trace_likelihood(model & talk, const std::string & text, uint32_t batch) {
    std::vector<int64_t> tokens = talk.words().tokenize(text, true);
    tokens.resize(std::min<size_t>(tokens.size(), talk.context()));
    talk.reset();
    double total = 0;
    long   count = 0;
    sha256 digest;
    for (size_t at = 0; at < tokens.size(); at += batch) {
        talk.feed({ tokens.begin() + (std::ptrdiff_t) at, tokens.begin() + (std::ptrdiff_t) std::min<size_t>(at + batch, tokens.size()) });
        talk.each_row([&](size_t i, const float * row) {
            digest.update_floats(row, (size_t) talk.vocabulary());
            if (at + i + 1 < tokens.size()) {
                total += surprise(row, talk.vocabulary(), tokens[at + i + 1]);
                count++;
            }
        });
    }
    printf("{\"event\":\"nll\",\"count\":%ld,\"tokens\":%s,\"bits\":\"%016" PRIx64 "\",\"value\":%.9g,\"logits\":\"%s\"}\n", count, list(tokens).c_str(),
           double_bits(total), total, digest.hex().c_str());
}

}

int trace(settings wanted) {
    const common_json request = common_json::parse(read_request());
    if (request.at("version").get<int>() != 1) {
        throw failure("the request is of another version than 1");
    }
    wanted.threads       = request.value("threads", 1);
    wanted.context       = (uint32_t) request.value("context", 512);
    const uint32_t batch = (uint32_t) request.value("batch", 512);
    if (batch == 0) {
        throw failure("batch must be at least 1");
    }
    model talk(wanted);
    printf("{\"event\":\"runtime\",\"engine\":\"onnxruntime\",\"version\":\"%s\",\"target\":\"%s\",\"flavour\":\"%s\",\"cpu\":\"generic\",\"device\":\"cpu\","
           "\"vocabulary\":%d,\"context\":%u,\"threads\":%d,\"batch\":%u}\n",
           ENGINE_VERSION, TARGET, FLAVOUR, talk.vocabulary(), talk.context(), talk.threads(), batch);
    fflush(stdout);
    for (const common_json & prompt : request.at("prompts")) {
        trace_prompt(talk, prompt);
    }
    if (request.contains("nll")) {
        trace_likelihood(talk, request.at("nll").at("text").get<std::string>(), batch);
    }
    printf("{\"event\":\"done\"}\n");
    return 0;
}

}
