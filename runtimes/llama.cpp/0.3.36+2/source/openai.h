// Where upstream's answers differ from the interface that its clients were written for (spec/1.0, 14.6.18).
#pragma once

#include "gate.h"

#include <map>
#include <string>
#include <vector>

#include <cpp-httplib/httplib.h>

namespace lff {

// The system prompt of requests that bring none (spec/1.0, 14.6.19); empty: none. Set before the server starts.
extern std::string instructions;

// One request and its answer. What a client asks for and upstream does not know is taken out of the one and put into the other.
class exchange_of {
public:
    explicit exchange_of(const std::string & path) : path(path) {}

    // Makes of a request what upstream understands. Throws `refused` for what cannot be answered.
    void ask(letter & request);
    // Puts right what upstream answered.
    void answer(httplib::Response & response);

private:
    void        ask_for_text(letter & request);
    void        count(const common_json & request);
    bool        differs() const { return silent || listed || !echoed.empty() || many(); }
    bool        many() const { return prompts * each > 1; }
    std::string events(const std::string & piece);
    bool        correct(common_json & answer, bool in_stream);
    void        choice(common_json & one);

    std::string                path;
    bool                       silent  = false;  // max_tokens is 0; upstream's least is one
    bool                       listed  = false;  // logprobs in the shape of v1/completions
    bool                       telling = false;  // a stream's last event is to tell the usage
    size_t                     prompts = 1, each = 1;
    std::vector<std::string>   echoed;           // the prompts, if they are to stand before the text
    std::map<size_t, size_t>   offsets;          // of each answer, the characters that were sent
    int64_t                    written = 0, read = 0, cached = 0;
    common_json                last;             // an event of the stream, to make the last one of
};

}
