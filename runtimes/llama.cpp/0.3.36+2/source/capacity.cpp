#include "capacity.h"

#include "crew.h"
#include "gate.h"
#include "loading.h"
#include "machine.h"
#include "plan.h"

#include "gguf.h"

#include <algorithm>
#include <cstdlib>
#include <memory>

namespace lff {
namespace {

constexpr int64_t MAX_SLOTS    = 16;
constexpr int64_t SHARE        = 8;           // of this machine's memory, one part of so many is for contexts
constexpr int     PIECE        = 512;         // tokens of a prompt between which others have their turn
constexpr int64_t PROMPT_SHARE = 16;          // and one part of so many for prompts that are kept

// What a model's metadata says of the memory that it takes.
struct appetite {
    int64_t context    = 0;  // tokens it was made for
    int64_t per_token  = 0;  // bytes of a context
    int64_t weights    = 0;  // bytes
    int64_t vocabulary = 0;
    bool    embeds     = false;
};

struct metadata {
    std::unique_ptr<gguf_context, decltype(&gguf_free)> file;

    // An integer, or the first of a list: layers may differ, and the first is not the smallest by custom.
    int64_t number(const std::string & key, int64_t otherwise) const {
        const int64_t id = gguf_find_key(file.get(), key.c_str());
        if (id < 0) {
            return otherwise;
        }
        switch (gguf_get_kv_type(file.get(), id)) {
            case GGUF_TYPE_UINT32: return gguf_get_val_u32(file.get(), id);
            case GGUF_TYPE_INT32:  return gguf_get_val_i32(file.get(), id);
            case GGUF_TYPE_UINT64: return (int64_t) gguf_get_val_u64(file.get(), id);
            default:               return otherwise;
        }
    }
};

appetite look_at(const std::string & model) {
    appetite       found;
    const metadata data{ { gguf_init_from_file(model.c_str(), { true, nullptr }), gguf_free } };
    const int64_t  id = data.file ? gguf_find_key(data.file.get(), "general.architecture") : -1;
    if (id < 0 || gguf_get_kv_type(data.file.get(), id) != GGUF_TYPE_STRING) {
        return found;  // loading the model says what is wrong with it
    }
    const std::string key    = std::string(gguf_get_val_str(data.file.get(), id)) + ".";
    const int64_t     layers = data.number(key + "block_count", 0), heads = data.number(key + "attention.head_count", 1);
    const int64_t     width  = data.number(key + "embedding_length", 0) / std::max<int64_t>(heads, 1);
    const int64_t     kept   = data.number(key + "attention.head_count_kv", heads);
    found.context   = data.number(key + "context_length", 0);
    found.per_token = layers * kept * 2 * (data.number(key + "attention.key_length", width) + data.number(key + "attention.value_length", width));
    found.embeds    = data.number(key + "pooling_type", 0) > 0;
    const int64_t words = gguf_find_key(data.file.get(), "tokenizer.ggml.tokens");
    found.vocabulary    = words < 0 ? 0 : (int64_t) gguf_get_arr_n(data.file.get(), words);
    for (int64_t i = 0; i < gguf_get_n_tensors(data.file.get()); i++) {
        found.weights += (int64_t) gguf_get_tensor_size(data.file.get(), i);
    }
    return found;
}

int64_t slots_for(const appetite & wanted, int64_t context) {
    const int64_t each = wanted.per_token * context;
    return each <= 0 ? 1 : std::max<int64_t>(1, std::min(MAX_SLOTS, memory() / SHARE / each));
}

}

std::vector<std::string> capacity_arguments(const std::string & model, const std::vector<std::string> & user, bool fewer_threads) {
    const appetite    wanted  = look_at(model);
    const int64_t     asked   = atoll(option(user, { "-c", "--ctx-size" }).c_str());
    const int64_t     context = asked > 0 ? asked : wanted.context;
    const std::string fixed   = option(user, { "-np", "--parallel" });
    const bool        pooled  = given(user, { "-kvu", "--kv-unified" });
    const int64_t     slots   = atoll(fixed.c_str()) > 0 ? atoll(fixed.c_str()) : slots_for(wanted, context);

    std::vector<std::string> out;
    if (context > 0 && !pooled) {
        out = { "-np", std::to_string(slots), "-c", std::to_string(slots * context) };
        say_later(std::to_string(slots) + " at once, each with a context of " + std::to_string(context) + " tokens");
    }
    if (!given(user, { "-t", "--threads" })) {
        out.insert(out.end(), { "-t", std::to_string(threads_for(wanted.weights)) });
    }
    if (fewer_threads) {
        let_crew_shrink();
    }
    if (!given(user, { "-b", "--batch-size", "-ub", "--ubatch-size" }) && !wanted.embeds) {
        out.insert(out.end(), { "-b", std::to_string(PIECE) });
    }
    if (!given(user, { "--poll" })) {
        out.insert(out.end(), { "--poll", "0" });
    }
    if (!given(user, { "-cram", "--cache-ram" })) {
        out.insert(out.end(), { "--cache-ram", std::to_string(std::min<int64_t>(8192, memory() / PROMPT_SHARE >> 20)) });
    }
    if (wanted.embeds && !given(user, { "--embedding", "--embeddings" })) {
        out.push_back("--embeddings");
    }
    measured = { context, wanted.vocabulary, slots, given(user, { "--context-shift" }) };
    return out;
}

}
