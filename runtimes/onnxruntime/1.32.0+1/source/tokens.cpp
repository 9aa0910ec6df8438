#include "tokens.h"

#include "engine.h"
#include "json.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace lff {
namespace {

constexpr size_t MAX_TOKENS = 1u << 20;

// <0xHH> is one byte; all else stands for itself.
std::string bytes_of(const std::string & text) {
    const bool byte = text.size() == 6 && text.compare(0, 3, "<0x") == 0 && isxdigit((unsigned char) text[3]) && isxdigit((unsigned char) text[4]) && text[5] == '>';
    return byte ? std::string(1, (char) strtol(text.substr(3, 2).c_str(), nullptr, 16)) : text;
}

}

tokenizer::tokenizer(const std::string & text) {
    try {
        const common_json read = common_json::parse(text);
        if (read.at("format").get<std::string>() != "llamafile-tokens/1") {
            throw failure("the model's tokenizer is of another format than llamafile-tokens/1");
        }
        const common_json & list = read.at("tokens");
        if (!list.is_array() || list.empty() || list.size() > MAX_TOKENS) {
            throw failure("the model's tokenizer has no tokens, or more than 2^20");
        }
        for (const common_json & one : list) {
            pieces.push_back(bytes_of(one.get<std::string>()));
            longest = std::max(longest, pieces.back().size());
            if (!pieces.back().empty()) {
                numbers.emplace(pieces.back(), (int64_t) pieces.size() - 1);
            }
        }
        beginning = read.contains("begin") ? read.at("begin").get<int64_t>() : -1;
        for (const common_json & one : read.at("end")) {
            ending.push_back(one.get<int64_t>());
        }
        if (read.contains("message")) {
            const std::string form = read.at("message").get<std::string>();
            const size_t      role = form.find("{role}"), content = form.find("{content}");
            if (role == std::string::npos || content == std::string::npos || content < role) {
                throw failure("the model's form of a message has no {role} with {content} behind it");
            }
            before  = form.substr(0, role);
            between = form.substr(role + 6, content - role - 6);
            behind  = form.substr(content + 9);
            answer  = read.value("answer", "");
        }
    } catch (const common_json_error & error) {
        throw failure(std::string("the model's tokenizer cannot be read: ") + error.what());
    }
    if (beginning >= (int64_t) pieces.size()) {
        throw failure("the model's tokenizer begins with a token that it does not have");
    }
}

std::vector<int64_t> tokenizer::tokenize(const std::string & text, bool add_special) const {
    std::vector<int64_t> out;
    if (add_special && beginning >= 0) {
        out.push_back(beginning);
    }
    for (size_t at = 0; at < text.size();) {
        size_t length = std::min(longest, text.size() - at);
        auto   found  = numbers.end();
        while (length > 0 && (found = numbers.find(text.substr(at, length))) == numbers.end()) {
            length--;
        }
        if (length == 0) {
            throw failure("the model has no token for byte " + std::to_string((unsigned char) text[at]) + " of the text");
        }
        out.push_back(found->second);
        at += length;
    }
    return out;
}

const std::string & tokenizer::piece(int64_t token) const {
    static const std::string none;
    return token < 0 || token >= (int64_t) pieces.size() ? none : pieces[(size_t) token];
}

bool tokenizer::ends(int64_t token) const { return std::find(ending.begin(), ending.end(), token) != ending.end(); }

std::string tokenizer::message(const std::string & role, const std::string & content) const {
    if (before.empty() && between.empty() && behind.empty()) {
        throw failure("the model's tokenizer says nothing about conversations");
    }
    return before + role + between + content + behind;
}

}
