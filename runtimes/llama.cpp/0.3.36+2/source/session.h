// A model and a context of the engine, and what completion and trace both do with them.
#pragma once

#include "llama.h"
#include "plan.h"

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

class common_json;

namespace lff {

struct failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct settings {
    std::string                 model;  // a path, or /zip/NAME
    std::vector<chosen_adapter> adapters;
    int                         threads         = 0;  // 0: as many as help (machine.h)
    bool                        fewer           = false;  // fewer threads do where others compute too (crew.h)
    uint32_t                    context         = 0;  // tokens; 0: what the model was made for
    uint32_t                    batch           = 512;
    int                         gpu_layers      = -1;     // of the model on the GPU, if there is one; -1: as many as fit
    bool                        flash_attention = false;  // off: its partial sums depend on the number of threads
};

class session {
public:
    explicit session(const settings & wanted);
    ~session();
    session(const session &) = delete;
    session & operator=(const session &) = delete;

    std::vector<llama_token> tokenize(const std::string & text, bool add_special, bool parse_special) const;
    std::string              piece(llama_token token, bool special) const;
    bool                     ends(llama_token token) const { return llama_vocab_is_eog(vocabulary, token); }

    // Renders messages by the model's own chat template, as of `time` (seconds since 1970). Throws if it has none.
    std::string render(const common_json & messages, int64_t time) const;

    void reset();  // forgets everything said so far
    // Feeds tokens, in batches; the logits of the last one are read with logits().
    void          feed(const std::vector<llama_token> & tokens);
    // Feeds tokens and calls `row(index, logits)` for each of them.
    template <typename Row> void feed_all(const std::vector<llama_token> & tokens, Row row);
    const float * logits() const { return llama_get_logits_ith(context, -1); }
    llama_token   likeliest() const;  // of equals, the one with the lowest id

    uint32_t room() const { return size - used; }  // tokens that still fit
    int      vocabulary_size() const { return llama_vocab_n_tokens(vocabulary); }

    llama_context *     context    = nullptr;
    const llama_vocab * vocabulary = nullptr;
    uint32_t            size       = 0;  // of the context, tokens
    int                 threads    = 0;

private:
    void            decode(llama_token * tokens, size_t count, bool all);
    void            load(const settings & wanted);
    void            adapt(const std::vector<chosen_adapter> & chosen);
    llama_model *   model = nullptr;
    uint32_t        used  = 0;
    uint32_t        batch = 0;
};

template <typename Row> void session::feed_all(const std::vector<llama_token> & tokens, Row row) {
    std::vector<llama_token> piece;
    for (size_t at = 0; at < tokens.size(); at += piece.size()) {
        piece.assign(tokens.begin() + (std::ptrdiff_t) at,
                     tokens.begin() + (std::ptrdiff_t) std::min(tokens.size(), at + batch));
        decode(piece.data(), piece.size(), true);
        for (size_t i = 0; i < piece.size(); i++) {
            row(at + i, llama_get_logits_ith(context, (int32_t) i));
        }
    }
}

}
