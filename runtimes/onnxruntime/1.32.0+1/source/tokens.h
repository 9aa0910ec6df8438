// The tokenizer that an ONNX model carries in its metadata (spec/1, 14.9.5): a list of tokens, longest match first.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace lff {

class tokenizer {
public:
    // From the text of the metadata, JSON. Throws failure.
    explicit tokenizer(const std::string & text);

    std::vector<int64_t> tokenize(const std::string & text, bool add_special) const;
    const std::string &  piece(int64_t token) const;
    bool                 ends(int64_t token) const;
    size_t               size() const { return pieces.size(); }

    // One message of a conversation as text, and what stands in front of the answer.
    std::string message(const std::string & role, const std::string & content) const;
    std::string answer;

private:
    std::vector<std::string>                 pieces;  // bytes, by token
    std::unordered_map<std::string, int64_t> numbers;
    std::string                              before, between, behind;  // the form of a message
    std::vector<int64_t>                     ending;
    int64_t                                  beginning = -1;
    size_t                                   longest   = 0;
};

}
