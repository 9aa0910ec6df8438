// The part of OpenAI's interface that a model without a template needs, on this machine alone (spec/1, 14.6.4, 14.9.6). One
// answer at a time; everything that a request can make larger has a bound.
#include "hosts.h"
#include "json.h"
#include "listen.h"
#include "sampler.h"
#include "work.h"

#include <cpp-httplib/httplib.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <mutex>

namespace lff {

bool bound_to_loopback() { return true; }

class server {
public:
    httplib::Server http;
    int             port = 0;
};

namespace {

constexpr size_t MAX_BODY     = 1u << 20;  // bytes of a request
constexpr size_t MAX_MESSAGES = 1024;
constexpr size_t MAX_WAITING  = 32;        // connections
constexpr size_t CREW         = 4;         // threads that read requests
constexpr int    PATIENCE     = 30;        // seconds for a request to arrive, or an answer to be taken

struct request {
    std::string prompt;
    sampling    chosen;
    long        limit  = 0;
    bool        stream = false, chat = false;
};

// A request that is wrong: status 400.
struct bad_request : failure {
    using failure::failure;
};

double number(const common_json & body, const char * name, double standard, double least, double most) {
    if (!body.contains(name) || body.at(name).is_null()) {
        return standard;
    }
    const double value = body.at(name).is_number() ? body.at(name).get<double>() : least - 1;
    if (!(value >= least && value <= most)) {
        throw bad_request(std::string(name) + " is no number from " + std::to_string((long) least) + " to " + std::to_string((long) most));
    }
    return value;
}

std::string content_of(const common_json & message) {
    if (message.at("content").is_string()) {
        return message.at("content").get<std::string>();
    }
    std::string text;
    for (const common_json & part : message.at("content")) {
        if (part.at("type").get<std::string>() != "text") {
            throw bad_request("this model takes text only");
        }
        text += part.at("text").get<std::string>();
    }
    return text;
}

std::string prompt_of(const tokenizer & words, const common_json & body, bool chat) {
    if (!chat) {
        return body.at("prompt").get<std::string>();
    }
    const common_json & messages = body.at("messages");
    if (!messages.is_array() || messages.empty() || messages.size() > MAX_MESSAGES) {
        throw bad_request("messages is no list of 1 to 1,024 messages");
    }
    std::string text;
    for (const common_json & one : messages) {
        text += words.message(one.at("role").get<std::string>(), content_of(one));
    }
    return text + words.answer;
}

request understood(const model & talk, const std::string & text, bool chat) {
    const common_json body = common_json::parse(text);
    if (!body.is_object()) {
        throw bad_request("the request is no object");
    }
    request wanted;
    wanted.chat               = chat;
    wanted.prompt             = prompt_of(talk.words(), body, chat);
    wanted.stream             = body.value("stream", false);
    wanted.chosen.temperature = number(body, "temperature", 1, 0, 2);
    wanted.chosen.top_p       = number(body, "top_p", 0.95, 0, 1);
    wanted.chosen.seed        = (uint32_t) number(body, "seed", (double) std::time(nullptr), 0, 4294967295.0);
    const double standard     = chat ? (double) talk.context() : 16;
    const bool   newer        = body.contains("max_completion_tokens");
    wanted.limit = (long) number(body, newer ? "max_completion_tokens" : "max_tokens", standard, 0, (double) (1u << 20));
    for (const char * const name : { "tools", "response_format", "stop", "logprobs" }) {
        if (body.contains(name) && !body.at(name).is_null() && !(body.at(name).is_boolean() && !body.at(name).get<bool>())) {
            throw bad_request(std::string(name) + " is nothing that this server knows");
        }
    }
    if (number(body, "n", 1, 1, 1) != 1) {
        throw bad_request("one answer at a time");
    }
    return wanted;
}

void refuse(httplib::Response & response, int status, const std::string & why) {
    common_json error  = common_json::object();
    error["message"]   = why.substr(0, 400);
    error["type"]      = status == 400 ? "invalid_request_error" : "server_error";
    error["code"]      = status;
    common_json answer = common_json::object();
    answer["error"]    = error;
    response.status    = status;
    response.set_content(answer.dump_safe(), "application/json");
}

// Characters of UTF-8 that are whole; the rest waits for the next token.
std::string whole_part(std::string & pending) {
    size_t at = pending.size(), back = 0;
    while (back < 4 && at > 0 && ((unsigned char) pending[at - 1] & 0xC0) == 0x80) {
        at--;
        back++;
    }
    const unsigned char first = at > 0 ? (unsigned char) pending[at - 1] : 0;
    const size_t        need  = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
    const size_t        keep  = need > 1 && back + 1 < need ? back + 1 : 0;
    const std::string   out   = pending.substr(0, pending.size() - keep);
    pending.erase(0, out.size());
    return out;
}

class desk {
public:
    desk(model & talk, std::string name) : talk(talk), name(std::move(name)) {}

    void answer(const httplib::Request & asked, httplib::Response & response, bool chat) {
        std::unique_lock<std::mutex> turn(busy);
        request                      wanted;
        size_t                       count = 0;
        try {
            wanted = understood(talk, asked.body, chat);
            talk.reset();
            const std::vector<int64_t> tokens = talk.words().tokenize(wanted.prompt, true);
            if (tokens.empty() || tokens.size() >= talk.context()) {
                throw bad_request("the prompt is empty, or longer than the context of " + std::to_string(talk.context()) + " tokens");
            }
            talk.feed(tokens);
            count = tokens.size();
        } catch (const std::exception & error) {
            return refuse(response, 400, error.what());
        }
        if (!wanted.stream) {
            std::string  text;
            long         said   = 0;
            const char * reason = speak(wanted, asked.is_connection_closed, [&](const std::string & piece) {
                text += piece;
                return true;
            }, said);
            return response.set_content(object(wanted, text, reason, (long) count, said).dump_safe(), "application/json");
        }
        auto held = std::make_shared<std::unique_lock<std::mutex>>(std::move(turn));  // until the last word is sent
        response.set_chunked_content_provider("text/event-stream", [this, wanted, held](size_t, httplib::DataSink & sink) {
            long         said   = 0;
            const auto   send   = [&](const std::string & line) { return sink.write(line.data(), line.size()); };
            const char * reason = nullptr;
            try {
                reason = speak(wanted, [&] { return !sink.is_writable(); }, [&](const std::string & piece) {
                    return send("data: " + event(wanted, piece, nullptr).dump_safe() + "\n\n");
                }, said);
            } catch (const std::exception &) {
                return false;  // the stream breaks off, which is all that can be told by now
            }
            send("data: " + event(wanted, "", reason).dump_safe() + "\n\ndata: [DONE]\n\n");
            sink.done();
            return true;
        }, [held](bool) { if (held->owns_lock()) { held->unlock(); } });
    }

    std::string models() const {
        common_json one = common_json::object();
        one["id"]       = name;
        one["object"]   = "model";
        one["owned_by"] = "llamafile";
        common_json list = common_json::object(), data = common_json::array();
        data.push_back(one);
        list["object"] = "list";
        list["data"]   = data;
        return list.dump_safe();
    }

private:
    const char * speak(const request & wanted, const std::function<bool()> & gone, const std::function<bool(const std::string &)> & say, long & said) {
        sampler     choose(wanted.chosen);
        std::string pending;
        for (; said < wanted.limit; said++) {
            const int64_t next = choose.next(talk);
            if (talk.words().ends(next)) {
                say(pending);
                return "stop";
            }
            pending += talk.words().piece(next);
            const std::string ready = whole_part(pending);
            if ((!ready.empty() && !say(ready)) || talk.room() == 0 || (gone && gone())) {
                said++;
                break;
            }
            talk.feed({ next });
        }
        say(pending);
        return "length";
    }

    common_json base(const request & wanted, const char * kind) const {
        common_json out = common_json::object();
        out["id"]       = std::string(wanted.chat ? "chatcmpl-" : "cmpl-") + std::to_string((long) std::time(nullptr));
        out["object"]   = kind;
        out["created"]  = (int64_t) std::time(nullptr);
        out["model"]    = name;
        return out;
    }

    common_json object(const request & wanted, const std::string & text, const char * reason, long before, long said) const {
        common_json out = base(wanted, wanted.chat ? "chat.completion" : "text_completion"), choice = common_json::object();
        choice["index"] = 0;
        if (wanted.chat) {
            common_json message = common_json::object();
            message["role"]     = "assistant";
            message["content"]  = text;
            choice["message"]   = message;
        } else {
            choice["text"] = text;
        }
        choice["finish_reason"]    = reason;
        common_json usage          = common_json::object(), choices = common_json::array();
        usage["prompt_tokens"]     = (int64_t) before;
        usage["completion_tokens"] = (int64_t) said;
        usage["total_tokens"]      = (int64_t) (before + said);
        choices.push_back(choice);
        out["choices"] = choices;
        out["usage"]   = usage;
        return out;
    }

    common_json event(const request & wanted, const std::string & piece, const char * reason) const {
        common_json out = base(wanted, wanted.chat ? "chat.completion.chunk" : "text_completion"), choice = common_json::object();
        choice["index"] = 0;
        if (wanted.chat) {
            common_json delta = common_json::object();
            if (reason == nullptr) {
                delta["content"] = piece;
            }
            choice["delta"] = delta;
        } else {
            choice["text"] = piece;
        }
        choice["finish_reason"] = reason == nullptr ? common_json(nullptr) : common_json(reason);
        common_json choices     = common_json::array();
        choices.push_back(choice);
        out["choices"] = choices;
        return out;
    }

    model &     talk;
    std::string name;
    std::mutex  busy;
};

}

namespace {

// A port is one server's: the HTTP library would share it with another of this user's, or on Windows with anybody's.
void alone_at_its_port(socket_t door) {
#if defined(_WIN32)
    httplib::set_socket_opt(door, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
#else
    httplib::set_socket_opt(door, SOL_SOCKET, SO_REUSEADDR, 1);  // after one that has ended
#endif
}

}

server * open_server(const std::vector<std::string> & arguments) {
    const std::string host = option(arguments, { "--host" }), port = option(arguments, { "--port" });
    if (!host.empty() && host != "127.0.0.1" && host != "localhost") {
        throw usage_error("this server answers to 127.0.0.1 alone, not to " + host);
    }
    own_hosts         = { "", "", false };
    const int first   = port.empty() || port == "0" ? FIRST_PORT : atoi(port.c_str());
    const int last    = port.empty() || port == "0" ? LAST_PORT : first;
    for (int number = first; number <= last; number++) {
        auto opened  = std::make_unique<server>();  // after a port that was taken it takes no other
        opened->port = number;
        opened->http.set_socket_options(alone_at_its_port);
        if (opened->http.bind_to_port("127.0.0.1", number)) {
            return opened.release();
        }
    }
    throw failure("there is no free port from " + std::to_string(first) + " to " + std::to_string(last));
}

int serve(server * opened, const settings & wanted, const std::string & name) {
    model             talk(wanted);
    desk              here(talk, name);
    httplib::Server & http = opened->http;
    http.new_task_queue    = [] { return new httplib::ThreadPool(CREW, CREW, MAX_WAITING); };
    http.set_payload_max_length(MAX_BODY);
    http.set_read_timeout(PATIENCE);
    http.set_write_timeout(PATIENCE);
    http.set_keep_alive_max_count(16);
    http.set_pre_routing_handler([](const httplib::Request & asked, httplib::Response & response) {
        const std::string why = foreign(asked.get_header_value("Host"), asked.get_header_value("Origin"));
        if (why.empty()) {
            return httplib::Server::HandlerResponse::Unhandled;
        }
        refuse(response, 403, why);
        return httplib::Server::HandlerResponse::Handled;
    });
    http.set_error_handler([](const httplib::Request &, httplib::Response & response) {
        if (response.body.empty()) {
            refuse(response, response.status, response.status == 404 ? "there is nothing at this address" : "the request cannot be answered");
        }
    });
    http.set_exception_handler([](const httplib::Request &, httplib::Response & response, std::exception_ptr) { refuse(response, 500, "the engine gave up"); });
    http.Get("/health", [](const httplib::Request &, httplib::Response & response) { response.set_content("{\"status\":\"ok\"}", "application/json"); });
    http.Get("/v1/models", [&](const httplib::Request &, httplib::Response & response) { response.set_content(here.models(), "application/json"); });
    http.Post("/v1/chat/completions", [&](const httplib::Request & asked, httplib::Response & response) { here.answer(asked, response, true); });
    http.Post("/v1/completions", [&](const httplib::Request & asked, httplib::Response & response) { here.answer(asked, response, false); });
    http.Get("/", [](const httplib::Request &, httplib::Response & response) {
        response.set_content("This engine has no chat page. Its interface is like OpenAI's: /v1/models, /v1/chat/completions, /v1/completions.\n", "text/plain");
    });
    printf("llamafile: chat at http://127.0.0.1:%d/ (no page, an interface like OpenAI's at /v1; Ctrl+C stops; one answer at a time)\n", opened->port);
    fflush(stdout);
    return http.listen_after_bind() ? 0 : 1;
}

}
