// Around upstream's handlers: see guard.h.

#include "guard.h"
#undef Server

#include "gpu.h"
#include "openai.h"
#include "policy.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>

namespace lff {
namespace {

const char * kind_of(int status) {
    return status == 400 ? "invalid_request_error" : status == 403 ? "forbidden" : status == 404 ? "not_found_error" : status == 413 ? "invalid_request_error" : status == 504 ? "timeout_error" : "server_error";
}

// Upstream takes an exception for a fault of the server. These are faults of the request: the gate's, found under way, and
// those that upstream finds in what it was sent. So is what this server was not started for (501).
void blame_the_request(httplib::Response & response) {
    static const char * const marks[] = {
        "the grammar ", "the template or schema needs more work", "The complexity of an attempted match", "[json.exception.",
        "input is not supported", "Invalid base64 value", "Failed to load image or audio file", "number of bitmaps", "\"prompt\" ",
        "Unsupported param: ", "Failed to parse tools: ", "Failed to parse messages: ", "' is required", "Unknown chat format", "Unknown reasoning format",
        "Unexpected empty grammar stack", "Cannot use both json_schema and grammar", "Cannot specify grammar with tools", "param requires --jinja",
    };
    if (response.status != 500 && response.status != 501) {
        return;
    }
    const common_json said  = common_json::parse_no_throw(response.body);
    const bool        known = said.is_object() && said.contains("error") && said.at("error").is_object() && said.at("error").contains("message");
    const std::string why   = known && said.at("error").at("message").is_string() ? said.at("error").at("message").get<std::string>() : "";
    bool              theirs = !why.empty() && response.status == 501;
    for (const char * mark : marks) {
        theirs = theirs || why.find(mark) != std::string::npos;
    }
    if (theirs) {
        refuse(response, 400, why);
    }
}

// Upstream's page is there compressed and not otherwise.
void unpack(httplib::Response & response) {
    const std::string text = response.get_header_value("Content-Encoding") == "gzip" ? unpacked(response.body) : "";
    if (!text.empty()) {
        response.headers.erase("Content-Encoding");
        response.body = text;
    }
}

// Of the list that upstream answers, the one that was asked for.
void one_model(const std::string & name, httplib::Response & response) {
    const common_json list = response.status == 200 ? common_json::parse_no_throw(response.body) : common_json::object();
    if (!list.is_discarded() && list.contains("data")) {
        for (const common_json & model : list.at("data")) {
            if (model.contains("id") && model.at("id").get<std::string>() == name) {
                response.set_content(model.dump_safe(), "application/json; charset=utf-8");
                return;
            }
        }
        refuse(response, 404, "there is no model " + name);
    }
}

// What is computed on, beside what upstream says of the server.
void name_device(httplib::Response & response) {
    common_json props = response.status == 200 ? common_json::parse_no_throw(response.body) : common_json::object();
    if (response.status == 200 && !props.is_discarded()) {
        props["device"] = gpu_name().empty() ? "cpu" : gpu_name();
        response.set_content(props.dump_safe(), "application/json; charset=utf-8");
    }
}

// Upstream makes an object of a form's fields, at every door. Here it is one where sound is sent, and each field is what it would be in the object.
void admit_form(const std::string & path, const httplib::Request & request) {
    static const std::string sound = "/audio/transcriptions";
    if (path.size() < sound.size() || path.compare(path.size() - sound.size(), sound.size(), sound) != 0) {
        throw refused("a form (multipart/form-data) is for " + sound + " alone: send JSON");
    }
    for (const auto & [name, field] : request.form.fields) {
        common_json object = common_json::object();
        object[name]       = field.content;
        admit(path, object.dump_safe());
    }
}

}

namespace {

// An answer that comes in pieces goes on after its handler has returned.
thread_local std::optional<work> asked_for;

constexpr size_t SMALL    = 64u << 10;  // bytes of a request that never waits to be prepared
constexpr size_t TOGETHER = MAX_TEXT;   // of others that are prepared at a time, or one alone: nobody sees how far tokens are

std::mutex              lock;
std::condition_variable left;
size_t                  taken = 0;       // bytes of those that are prepared now,
thread_local size_t     own   = 0;       // and of that of this thread

void wait_to_prepare(size_t size, const std::function<bool()> & gone) {
    std::unique_lock<std::mutex> guard(lock);
    while (size > SMALL && taken > 0 && taken + size > TOGETHER) {
        left.wait_for(guard, std::chrono::milliseconds(250));
        heartbeat();
        if (gone()) {
            throw refused("nobody waits for this answer");
        }
    }
    own = size > SMALL ? size : 0;
    taken += own;
}

}

void begin_request(uint64_t shape) { asked_for.emplace(shape); }
void end_request() { asked_for.reset(); }

void prepared() {
    if (own > 0) {
        const std::lock_guard<std::mutex> guard(lock);
        taken -= own;
        own = 0;
        left.notify_all();
    }
}

void refuse(httplib::Response & response, int status, const std::string & message) {
    common_json error = common_json::object();
    error["code"]     = status;
    error["message"]  = message;
    error["type"]     = kind_of(status);
    common_json whole = common_json::object();
    whole["error"]    = error;
    response.status   = status;
    response.set_content(whole.dump_safe(), "application/json; charset=utf-8");
}

httplib::Server::Handler around_post(const std::string & path, httplib::Server::Handler handler) {
    return [path, handler](const httplib::Request & request, httplib::Response & response) {
        const auto begun = std::chrono::steady_clock::now();
        const uint64_t shape = std::hash<std::string>()(path + "\n" + request.body);
        if (is_refused(shape)) {
            return refuse(response, 400, "a request like this one has stopped this server before");
        }
        begin_request(shape);
        allow(work_of(request.body.size()));
        try {
            wait_to_prepare(request.body.size(), request.is_connection_closed);
            exchange_of talk(path);
            if (request.is_multipart_form_data()) {
                admit_form(path, request);
            } else if (!request.body.empty()) {
                letter read = admit(path, request.body);
                talk.ask(read);
                if (read.changed) {
                    const_cast<httplib::Request &>(request).body = read.json.dump();
                }
            }
            handler(request, response);
            talk.answer(response);
        } catch (const refused & why) {
            refuse(response, 400, why.what());
        } catch (const std::exception & why) {
            refuse(response, ran_out() ? 400 : 500, why.what());
        }
        prepared();
        blame_the_request(response);
        if (request_seconds > 0 && !response.content_provider_ && std::chrono::steady_clock::now() - begun > std::chrono::seconds(request_seconds)) {
            refuse(response, 504, "no answer within " + std::to_string(request_seconds) + " seconds; --request-timeout sets them");
        }
    };
}

// Who does not say that he reads what is compressed gets it unpacked.
httplib::Server::Handler around_get(const std::string & path, httplib::Server::Handler handler) {
    return [path, handler](const httplib::Request & request, httplib::Response & response) {
        allow(work_of(0));
        auto &     given = const_cast<httplib::Request &>(request);
        const bool plain = request.get_header_value("Accept-Encoding").find("gzip") == std::string::npos;
        if (plain) {
            given.headers.erase("Accept-Encoding");
            given.set_header("Accept-Encoding", "gzip");
        }
        handler(request, response);
        response.set_header("Content-Security-Policy", page_policy());
        response.set_header("X-Content-Type-Options", "nosniff");
        if (plain) {
            unpack(response);
            given.headers.erase("Accept-Encoding");  // or the answer would be compressed on its way
        }
        if (path == "/props") {
            name_device(response);
        }
        if (path == "/models/" || path == "/v1/models/") {
            one_model(request.matches[1].str(), response);
        }
    };
}

}
