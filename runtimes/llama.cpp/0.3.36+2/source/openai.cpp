#include "openai.h"

#include "strict.h"
#include "usage.h"

#include <algorithm>
#include <memory>

namespace lff {

std::string instructions;

usage & own_usage() {
    static thread_local usage own;
    return own;
}

namespace {

bool ends_with(const std::string & text, const std::string & end) {
    return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

bool is_set(const common_json & object, const std::string & name) { return object.contains(name) && !object.at(name).is_null(); }

bool is_true(const common_json & object, const std::string & name) {
    return object.contains(name) && object.at(name).is_boolean() && object.at(name).get<bool>();
}

std::string text_of(const common_json & object, const std::string & name) {
    return object.is_object() && object.contains(name) && object.at(name).is_string() ? object.at(name).get<std::string>() : "";
}

// A tool's name, or that of a choice: {"function": {"name": ...}} or {"name": ...}.
std::string tool_name(const common_json & tool) {
    return tool.is_object() && tool.contains("function") ? text_of(tool.at("function"), "name") : text_of(tool, "name");
}

// Upstream knows the choices auto, none and required: of a choice that names tools, the others are left out.
void choose_tools(letter & request) {
    common_json & json = request.json;
    const common_json tools = is_set(json, "tools") ? json.at("tools") : common_json::array();
    if (text_of(json, "tool_choice") == "required" && tools.empty()) {
        throw refused("tool_choice demands a call, and there are no tools");
    }
    if (!json.contains("tool_choice") || !json.at("tool_choice").is_object()) {
        return;
    }
    const common_json choice = json.at("tool_choice");
    const std::string type   = text_of(choice, "type");
    common_json       named  = common_json::array({ choice });
    std::string       mode   = "required";
    if (type == "allowed_tools") {
        const common_json & allowed = choice.contains("allowed_tools") ? choice.at("allowed_tools") : choice;
        named                       = allowed.value("tools", common_json::array());
        mode                        = text_of(allowed, "mode");
    } else if (type != "function" && type != "tool") {
        if (type == "auto" || type == "any" || type == "none") {
            return;  // as Anthropic's clients say it
        }
        throw refused("tool_choice of type " + type + " is not served: auto, none, required, a function and allowed_tools are");
    }
    common_json chosen = common_json::array();
    for (const common_json & wanted : named) {
        size_t before = chosen.size();
        for (const common_json & tool : tools) {
            if (!tool_name(tool).empty() && tool_name(tool) == tool_name(wanted)) {
                chosen.push_back(tool);
            }
        }
        if (chosen.size() == before) {
            throw refused("tool_choice names " + tool_name(wanted) + ", which is none of the tools");
        }
    }
    json["tools"] = chosen;
    if (type == "tool") {
        common_json any     = common_json::object();
        any["type"]         = "any";
        json["tool_choice"] = any;
    } else {
        json["tool_choice"] = mode;
    }
    request.changed = true;
}

bool is_instructed(const common_json & messages) {
    for (const common_json & message : messages) {
        const std::string role = text_of(message, "role");
        if (role == "system" || role == "developer") {
            return true;
        }
    }
    return false;
}

// Gives a request that has no system prompt the one of this file or its user, where its interface has it.
void instruct(const std::string & path, letter & request) {
    common_json &     json  = request.json;
    const bool        talk  = json.contains("messages") && json.at("messages").is_array();
    const std::string field = path.find("/responses") != std::string::npos ? "instructions" : path.find("/v1/messages") == 0 ? "system" : "";
    if (instructions.empty() || (!talk && field != "instructions") || (!field.empty() && is_set(json, field)) ||
        (talk && is_instructed(json.at("messages"))) || (json.contains("input") && json.at("input").is_array() && is_instructed(json.at("input")))) {
        return;
    }
    if (!field.empty()) {
        json[field] = instructions;
    } else {
        common_json message  = common_json::object();
        message["role"]      = "system";
        message["content"]   = instructions;
        common_json messages = common_json::array({ message });
        messages.insert(json.at("messages"));
        json["messages"] = messages;
    }
    request.changed = true;
}

void check_promises(const common_json & request) {
    if (is_set(request, "response_format") && request.at("response_format").is_object() && is_set(request.at("response_format"), "json_schema")) {
        const common_json & format = request.at("response_format").at("json_schema");
        if (format.is_object() && is_true(format, "strict") && format.contains("schema")) {
            check_strict(format.at("schema"));
        }
    }
    if (is_set(request, "text") && request.at("text").is_object() && is_set(request.at("text"), "format")) {
        const common_json & format = request.at("text").at("format");
        if (format.is_object() && is_true(format, "strict") && format.contains("schema")) {
            check_strict(format.at("schema"));
        }
    }
    if (is_set(request, "tools") && request.at("tools").is_array() && text_of(request, "tool_choice") != "none") {
        for (const common_json & tool : request.at("tools")) {
            const common_json & function = tool.is_object() && tool.contains("function") ? tool.at("function") : tool;
            if (function.is_object() && is_true(function, "strict") && is_set(function, "parameters")) {
                check_strict(function.at("parameters"));
            }
        }
    }
}

bool is_prompt_of_tokens(const common_json & prompt) {
    if (!prompt.is_array()) {
        return false;
    }
    bool numbers = false, strings = false;
    for (const common_json & item : prompt) {
        numbers = numbers || item.is_number();
        strings = strings || item.is_string();
    }
    return numbers;  // upstream takes tokens and text mixed for one prompt
}

size_t characters(const std::string & text) {
    return (size_t) std::count_if(text.begin(), text.end(), [](char c) { return ((unsigned char) c & 0xC0) != 0x80; });
}

// A token's text, or its bytes where it is only a part of a character.
std::string token_name(const common_json & token) {
    const std::string text = text_of(token, "token");
    if (!token.contains("bytes") || token.at("bytes").size() == text.size()) {
        return text;
    }
    static const char digits[] = "0123456789abcdef";
    std::string       name     = "bytes:";
    for (const common_json & byte : token.at("bytes")) {
        const int value = byte.get<int>();
        name += std::string("\\x") + digits[value >> 4 & 15] + digits[value & 15];
    }
    return name;
}

// What upstream lists as `content`, in the lists that clients of v1/completions know. Offsets are characters of the choice's text.
void reshape(common_json & logprobs, size_t & offset) {
    common_json tokens = common_json::array(), values = common_json::array(), tops = common_json::array(), places = common_json::array();
    for (const common_json & token : logprobs.at("content")) {
        common_json top = common_json::object();
        for (const common_json & other : token.value("top_logprobs", common_json::array())) {
            if (!top.contains(token_name(other))) {
                top[token_name(other)] = other.value("logprob", common_json(nullptr));
            }
        }
        tokens.push_back(token_name(token));
        values.push_back(token.value("logprob", common_json(nullptr)));
        tops.push_back(top);
        places.push_back(offset);
        for (const common_json & byte : token.value("bytes", common_json::array())) {
            offset += (byte.get<int>() & 0xC0) != 0x80;
        }
    }
    logprobs["tokens"]         = tokens;
    logprobs["token_logprobs"] = values;
    logprobs["top_logprobs"]   = tops;
    logprobs["text_offset"]    = places;
}

common_json told(int64_t written, int64_t read, int64_t cached) {
    common_json details      = common_json::object();
    details["cached_tokens"] = cached;
    common_json usage        = common_json::object();
    usage["completion_tokens"]     = written;
    usage["prompt_tokens"]         = read;
    usage["total_tokens"]          = written + read;
    usage["prompt_tokens_details"] = details;
    return usage;
}

}

// How many answers there will be, and whether any is to have words.
void exchange_of::count(const common_json & request) {
    const bool own = request.contains("n_cmpl");
    each           = 1;
    if (is_set(request, own ? "n_cmpl" : "n") && request.at(own ? "n_cmpl" : "n").is_number_integer()) {
        each = (size_t) std::max<int64_t>(1, request.at(own ? "n_cmpl" : "n").get<int64_t>());
    }
    for (const char * name : { "n_predict", "max_completion_tokens", "max_tokens" }) {
        if (request.contains(name)) {
            silent = request.at(name).is_number() && request.at(name).get<double>() == 0;
            break;
        }
    }
    telling = is_set(request, "stream_options") && is_true(request.at("stream_options"), "include_usage");
}

void exchange_of::ask_for_text(letter & request) {
    common_json & json = request.json;
    for (const char * name : { "suffix", "best_of" }) {
        if (!json.contains(name)) {
            continue;
        }
        const common_json & value = json.at(name);
        if (!value.is_null() && value != "" && !(value.is_number_integer() && value.get<int64_t>() == (int64_t) each)) {
            throw refused(std::string(name) + " is not served");
        }
        json.erase(name);
        request.changed = true;
    }
    const common_json prompt = json.value("prompt", common_json(""));
    prompts                  = prompt.is_array() && !is_prompt_of_tokens(prompt) ? std::max<size_t>(prompt.size(), 1) : 1;
    listed                   = is_set(json, "logprobs") && json.at("logprobs").is_number_integer();
    if (is_true(json, "echo")) {
        if (listed) {
            throw refused("echo with logprobs is not served: this engine does not tell how likely the tokens of a prompt are");
        }
        for (const common_json & one : prompt.is_array() ? prompt : common_json::array({ prompt })) {
            if (!one.is_string() || is_prompt_of_tokens(prompt)) {
                throw refused("echo of a prompt of tokens is not served: send its text");
            }
            echoed.push_back(one.get<std::string>());
        }
    }
    if (json.contains("echo")) {
        json.erase("echo");
        request.changed = true;
    }
    if (listed) {
        if (json.at("logprobs").get<int64_t>() < 0) {
            throw refused("logprobs is less than 0");
        }
        json["n_probs"] = std::max<int64_t>(1, json.at("logprobs").get<int64_t>());
        json.erase("logprobs");
        request.changed = true;
    }
}

void exchange_of::ask(letter & request) {
    own_usage() = usage();
    if (!request.json.is_object()) {
        return;
    }
    const bool chat = ends_with(path, "/chat/completions");
    if (path == "/v1/completions" || chat) {
        count(request.json);
    }
    if (path == "/v1/completions") {
        ask_for_text(request);
    } else {
        check_promises(request.json);
        choose_tools(request);
        instruct(path, request);
    }
}

// One answer among those of a response or an event.
void exchange_of::choice(common_json & one) {
    const size_t index = one.contains("index") ? (size_t) one.at("index").get<int64_t>() : 0;
    if (silent) {
        if (one.contains("text")) {
            one["text"] = "";
        } else if (one.contains("message")) {
            one.at("message")["content"] = "";
            one.at("message").erase("tool_calls");
            one.at("message").erase("reasoning_content");
        } else if (one.contains("delta")) {
            common_json kept = common_json::object();
            if (one.at("delta").contains("role")) {
                kept["role"] = one.at("delta").at("role");
            }
            one["delta"] = kept;
        }
        if (one.contains("logprobs")) {
            one["logprobs"] = nullptr;
        }
        if (is_set(one, "finish_reason")) {
            one["finish_reason"] = "length";
        }
    }
    const bool first = offsets.count(index) == 0;
    size_t &   sent  = offsets[index];
    if (listed && is_set(one, "logprobs") && one.at("logprobs").contains("content")) {
        reshape(one.at("logprobs"), sent);
    }
    if (first && index / each < echoed.size() && one.contains("text")) {
        one["text"] = echoed[index / each] + text_of(one, "text");
    }
}

// False if an event is left out.
bool exchange_of::correct(common_json & answer, bool in_stream) {
    if (!answer.is_object() || !answer.contains("choices")) {
        return !answer.is_null();
    }
    for (size_t i = 0; i < answer.at("choices").size(); i++) {
        choice(answer.at("choices").at(i));
    }
    if (!answer.contains("usage")) {
        return true;
    }
    const common_json & usage = answer.at("usage");
    const int64_t       words = silent ? 0 : usage.at("completion_tokens").get<int64_t>();
    const int64_t       known = usage.contains("prompt_tokens_details") ? usage.at("prompt_tokens_details").value("cached_tokens", (int64_t) 0) : 0;
    const int64_t       given = usage.at("prompt_tokens").get<int64_t>();
    if (!many()) {
        answer["usage"] = told(words, given, known);
        return true;
    }
    if (!in_stream) {
        const lff::usage & all = own_usage();
        answer["usage"] = told(silent ? 0 : all.written, all.read / (int64_t) each, all.cached / (int64_t) each);
        return true;
    }
    written += words;
    read += given;
    cached += known;
    last = answer;
    answer.erase("usage");
    return !answer.at("choices").empty();
}

// Events of a stream, each ended by an empty line.
std::string exchange_of::events(const std::string & piece) {
    static const std::string data = "data: ";
    std::string              out;
    for (size_t at = 0; at < piece.size();) {
        const size_t      end   = std::min(piece.find("\n\n", at), piece.size());
        const std::string event = piece.substr(at, end - at);
        at                      = end + 2;
        if (event == data + "[DONE]" && many() && telling && last.is_object()) {
            last["choices"] = common_json::array();
            last["usage"]   = told(written, read / (int64_t) each, cached / (int64_t) each);
            last.erase("timings");
            out += data + last.dump_safe() + "\n\n";
        }
        common_json json = event.compare(0, data.size(), data) == 0 ? common_json::parse_no_throw(event.substr(data.size())) : common_json();
        if (event.compare(0, data.size(), data) != 0 || json.is_discarded()) {
            out += event + "\n\n";
        } else if (correct(json, true)) {
            out += data + json.dump_safe() + "\n\n";
        }
    }
    return out;
}

void exchange_of::answer(httplib::Response & response) {
    if (!differs()) {
        return;
    }
    if (response.content_provider_) {
        const auto talk = std::make_shared<exchange_of>(*this);
        response.content_provider_ = [talk, theirs = response.content_provider_](size_t offset, size_t length, httplib::DataSink & sink) {
            httplib::DataSink ours;
            ours.write = [&](const char * text, size_t size) {
                const std::string piece = talk->events(std::string(text, size));
                return piece.empty() || sink.write(piece.data(), piece.size());
            };
            ours.is_writable = sink.is_writable;
            ours.done        = sink.done;
            return theirs(offset, length, ours);
        };
        return;
    }
    common_json json = response.status == 200 ? common_json::parse_no_throw(response.body) : common_json();
    if (response.status == 200 && json.is_object()) {
        correct(json, false);
        response.set_content(json.dump_safe(), "application/json; charset=utf-8");
    }
}

}
