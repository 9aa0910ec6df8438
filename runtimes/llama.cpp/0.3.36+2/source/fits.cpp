#include "fits.h"

#include "session.h"

#include "ggml.h"
#include "gguf.h"

#include <cstring>
#include <memory>

namespace lff {
namespace {

// Metadata and shapes of one GGUF; empty if it cannot be read.
struct anatomy {
    explicit anatomy(const std::string & path) {
        ggml_context * made = nullptr;
        file.reset(gguf_init_from_file(path.c_str(), { true, &made }));
        shapes.reset(made);
    }

    std::string text(const char * key) const {
        const int64_t id = file ? gguf_find_key(file.get(), key) : -1;
        return id >= 0 && gguf_get_kv_type(file.get(), id) == GGUF_TYPE_STRING ? gguf_get_val_str(file.get(), id) : "";
    }

    // A number as the engine takes it, 32 bits without a sign; `otherwise` if there is none.
    int64_t number(const char * key, int64_t otherwise) const {
        const int64_t id = file ? gguf_find_key(file.get(), key) : -1;
        return id >= 0 && gguf_get_kv_type(file.get(), id) == GGUF_TYPE_UINT32 ? gguf_get_val_u32(file.get(), id) : otherwise;
    }

    int64_t tokens() const {
        const int64_t id = file ? gguf_find_key(file.get(), "tokenizer.ggml.tokens") : -1;
        return id >= 0 && gguf_get_kv_type(file.get(), id) == GGUF_TYPE_ARRAY ? (int64_t) gguf_get_arr_n(file.get(), id) : 0;
    }

    bool is_part() const {  // of a set: tensors may be in the others
        const int64_t id = gguf_find_key(file.get(), "split.count");
        return id >= 0 && gguf_get_kv_type(file.get(), id) == GGUF_TYPE_UINT16 && gguf_get_val_u16(file.get(), id) > 1;
    }

    std::unique_ptr<gguf_context, decltype(&gguf_free)> file{ nullptr, gguf_free };
    std::unique_ptr<ggml_context, decltype(&ggml_free)> shapes{ nullptr, ggml_free };
};

[[noreturn]] void misfit(const std::string & path, const std::string & why) {
    throw failure("the adapter " + path + " does not fit the model: " + why + "; --no-lora leaves it out");
}

// A pair NAME.lora_a (input by rank) and NAME.lora_b (rank by output) changes the model's NAME (input by output).
void check_pair(const std::string & path, const ggml_tensor & part, const anatomy & model) {
    std::string       name  = part.name;
    const std::string ends[] = { ".lora_a", ".lora_b" };
    for (int side = 0; side < 2; side++) {
        const size_t at = name.rfind(ends[side]);
        if (at == std::string::npos || at + ends[side].size() != name.size()) {
            continue;
        }
        name.resize(at);
        const ggml_tensor * changed = ggml_get_tensor(model.shapes.get(), name.c_str());
        if (changed == nullptr) {
            if (!model.is_part()) {
                misfit(path, "it changes " + name + ", which the model has not");
            }
        } else if (name != "token_embd.weight" && part.ne[side] != changed->ne[side]) {  // that one is turned by custom
            misfit(path, name + " is " + std::to_string(part.ne[side]) + " wide in it and " + std::to_string(changed->ne[side]) + " in the model");
        }
        return;
    }
}

}

void check_adapters(const std::string & model, const std::vector<chosen_adapter> & adapters) {
    if (adapters.empty()) {
        return;
    }
    const anatomy whole(model);
    for (const chosen_adapter & each : adapters) {
        const anatomy     adapter(each.path);
        const std::string made_for = adapter.text("general.architecture"), found = whole.text("general.architecture");
        if (made_for.empty() || found.empty() || adapter.text("general.type") != "adapter") {
            continue;
        }
        if (made_for != found) {
            misfit(each.path, "it is made for " + made_for + ", the model is " + found);
        }
        for (ggml_tensor * part = ggml_get_first_tensor(adapter.shapes.get()); part != nullptr;
             part               = ggml_get_next_tensor(adapter.shapes.get(), part)) {
            check_pair(each.path, *part, whole);
        }
    }
}

void check_tokenizer(const std::string & model) {
    const anatomy whole(model);
    const int64_t tokens = whole.tokens();
    if (tokens == 0 || whole.text("tokenizer.ggml.model") != "bert") {
        return;
    }
    const struct {
        const char * key;
        int64_t      custom;  // that the engine takes where the model says nothing, or what it has not
    } around[] = { { "tokenizer.ggml.bos_token_id", 101 }, { "tokenizer.ggml.seperator_token_id", 102 } };
    for (const auto & one : around) {
        if (whole.number(one.key, one.custom) >= tokens && one.custom >= tokens) {
            throw failure("the tokenizer bert needs " + std::string(one.key) + ", which is not among the " + std::to_string(tokens) + " tokens of the model");
        }
    }
}

std::string with_way_out(const std::string & error) {
    if (error.find("mmproj") != std::string::npos || error.find("clip") != std::string::npos || error.find("mtmd") != std::string::npos) {
        return error + "; --no-mmproj leaves the projector out";
    }
    return error.find("lora") != std::string::npos || error.find("LoRA") != std::string::npos ? error + "; --no-lora leaves it out" : error;
}

}
