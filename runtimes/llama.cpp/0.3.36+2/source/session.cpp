#include "session.h"

#include "crew.h"
#include "fits.h"
#if LFF_HAS_SERVER
#  include "gate.h"
#endif
#include "gpu.h"
#include "machine.h"
#include "terminal.h"
#include "watch.h"

#include "jinja/lexer.h"
#include "jinja/parser.h"
#include "jinja/runtime.h"
#include "json.h"

#include <algorithm>
#include <cstring>

namespace lff {
namespace {

constexpr uint32_t CONTEXT = 4096;  // tokens, where nobody says how many and the model was made for more

// What the engine says went wrong first; what follows from it says no more.
std::string first_error;

// The engine logs each part that it loads, of the weights a dot for each hundredth.
void keep_first_error(enum ggml_log_level level, const char * text, void *) {
    engine_heartbeat();
    if (level == GGML_LOG_LEVEL_ERROR && first_error.empty()) {
        first_error = text;
        first_error.erase(first_error.find_last_not_of(" \r\n") + 1);
    }
}

void report_errors_only(enum ggml_log_level level, const char * text, void *) {
    if (level == GGML_LOG_LEVEL_ERROR) {
        fputs(escaped(text).c_str(), stderr);
    }
}

failure failed(const std::string & what) { return failure(what + (first_error.empty() ? "" : ": " + first_error)); }

[[noreturn]] void throw_failed(const std::string & what) {
    if (gpu_name().empty()) {
        throw failed(what);
    }
    throw gpu_failure(failed(what).what());
}

}

session::session(const settings & wanted) {
    const work under_watch(LOADING);
    llama_log_set([](enum ggml_log_level, const char *, void *) { engine_heartbeat(); }, nullptr);
    check_tokenizer(wanted.model);
    check_adapters(wanted.model, wanted.adapters);
    llama_log_set(keep_first_error, nullptr);
    llama_backend_init();
    load(wanted);
    adapt(wanted.adapters);
    llama_log_set(report_errors_only, nullptr);
}

void session::load(const settings & wanted) {
    llama_model_params loading = llama_model_default_params();
    loading.load_mode = LLAMA_LOAD_MODE_MMAP;
    llama_context_params shape = llama_context_default_params();
    shape.n_ctx = wanted.context > 0 ? wanted.context : CONTEXT;
    fit_to_gpu(wanted.model, wanted.gpu_layers, loading, shape);
    model = llama_model_load_from_file(wanted.model.c_str(), loading);
    if (model == nullptr) {
        throw_failed("cannot load the model " + wanted.model);
    }
    vocabulary = llama_model_get_vocab(model);

    threads = wanted.threads > 0 ? wanted.threads : threads_for((int64_t) llama_model_size(model));
    if (wanted.threads <= 0 || wanted.fewer) {
        let_crew_shrink();
    }
    batch   = wanted.batch;
    const uint32_t trained = (uint32_t) llama_model_n_ctx_train(model);
    shape.n_ctx           = wanted.context > 0 ? wanted.context : std::min<uint32_t>(trained, CONTEXT);
    shape.n_batch         = batch;
    shape.n_ubatch        = batch;
    shape.n_threads       = threads;
    shape.n_threads_batch = threads;
    shape.flash_attn_type = wanted.flash_attention ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
    context = llama_init_from_model(model, shape);
    if (context == nullptr) {
        throw_failed("cannot make a context of " + std::to_string(shape.n_ctx) + " tokens: not enough memory?");
    }
    size = llama_n_ctx(context);
}

void session::adapt(const std::vector<chosen_adapter> & chosen) {
    std::vector<llama_adapter_lora *> adapters;
    std::vector<float>                scales;
    for (const chosen_adapter & adapter : chosen) {
        adapters.push_back(llama_adapter_lora_init(model, adapter.path.c_str()));
        scales.push_back(adapter.scale);
        if (adapters.back() == nullptr) {
            throw failed("cannot load the adapter " + adapter.path);
        }
    }
    if (!adapters.empty() && llama_set_adapters_lora(context, adapters.data(), adapters.size(), scales.data()) != 0) {
        throw failed("cannot apply the adapters");
    }
}

session::~session() {
    llama_free(context);
    llama_model_free(model);
}

std::vector<llama_token> session::tokenize(const std::string & text, bool add_special, bool parse_special) const {
    const work    under_watch;
    const int32_t length = (int32_t) text.size();
    const int32_t count  = -llama_tokenize(vocabulary, text.data(), length, nullptr, 0, add_special, parse_special);
    std::vector<llama_token> tokens((size_t) std::max(count, 0));
    if (count > 0 && llama_tokenize(vocabulary, text.data(), length, tokens.data(), count, add_special, parse_special) != count) {
        throw failure("the text cannot be tokenized");
    }
    return tokens;
}

std::string session::piece(llama_token token, bool special) const {
    std::string text(64, '\0');
    int32_t     length = llama_token_to_piece(vocabulary, token, &text[0], (int32_t) text.size(), 0, special);
    if (length < 0) {
        text.resize((size_t) -length);
        length = llama_token_to_piece(vocabulary, token, &text[0], (int32_t) text.size(), 0, special);
    }
    text.resize((size_t) std::max(length, 0));
    return text;
}

std::string session::render(const common_json & messages, int64_t time) const {
    const char * source = llama_model_chat_template(model, nullptr);
    if (source == nullptr) {
        throw failure("the model has no chat template");
    }
    const auto text_of = [&](llama_token token) { return token == LLAMA_TOKEN_NULL ? std::string() : piece(token, true); };
    const std::string begin = text_of(llama_vocab_bos(vocabulary));
    const work        under_watch;
#if LFF_HAS_SERVER
    allow(work_of(messages.dump_safe().size()));
#endif

    jinja::lexer         lexer;
    const auto           tokens  = lexer.tokenize(source);
    const jinja::program program = jinja::parse_from_tokens(tokens);
    common_json          input   = common_json::object();
    input["messages"]              = messages;
    input["bos_token"]             = begin;
    input["eos_token"]             = text_of(llama_vocab_eos(vocabulary));
    input["add_generation_prompt"] = true;

    jinja::context scope(tokens.source);
    scope.current_time = (std::time_t) time;
    jinja::global_from_json(scope, input, false);
    jinja::runtime runtime(scope);
    std::string    text = jinja::runtime::gather_string_parts(runtime.execute(program))->as_string().str();

    // The tokenizer adds the beginning-of-text token itself where the model asks for it: never two of them.
    if (llama_vocab_get_add_bos(vocabulary) && !begin.empty() && text.compare(0, begin.size(), begin) == 0) {
        text.erase(0, begin.size());
    }
    return text;
}

void session::reset() {
    llama_memory_clear(llama_get_memory(context), true);
    used = 0;
}

void session::decode(llama_token * tokens, size_t count, bool all) {
    llama_batch batch = llama_batch_get_one(tokens, (int32_t) count);
    std::vector<int8_t> wanted(count, 1);
    if (all) {
        batch.logits = wanted.data();
    }
    const work under_watch(FOR_ALL);
    if (count > room() || llama_decode(context, batch) != 0) {
        throw failure("the engine could not process " + std::to_string(count) + " tokens");
    }
    used += (uint32_t) count;
}

void session::feed(const std::vector<llama_token> & tokens) {
    std::vector<llama_token> piece;
    for (size_t at = 0; at < tokens.size(); at += piece.size()) {
        piece.assign(tokens.begin() + (std::ptrdiff_t) at,
                     tokens.begin() + (std::ptrdiff_t) std::min(tokens.size(), at + batch));
        decode(piece.data(), piece.size(), false);
    }
}

llama_token session::likeliest() const {
    const float * row = logits();
    return (llama_token) (std::max_element(row, row + vocabulary_size()) - row);  // the first of equals
}

}
