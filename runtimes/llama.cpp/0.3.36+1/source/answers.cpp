// Around upstream's handlers: see guard.h.

#include "guard.h"
#undef Server

#include "json.h"
#include "openai.h"

namespace lff {
namespace {

const char * kind_of(int status) {
    return status == 400 ? "invalid_request_error" : status == 403 ? "forbidden" : status == 404 ? "not_found_error" : status == 504 ? "timeout_error" : "server_error";
}

// Upstream takes an exception for a fault of the server. These are faults of the request: the gate's, found under way.
void blame_the_request(httplib::Response & response) {
    static const std::string marks[] = { "the grammar ", "the template or schema needs more work" };
    for (const std::string & mark : marks) {
        const size_t at = response.status == 500 ? response.body.find(mark) : std::string::npos;
        if (at != std::string::npos) {
            refuse(response, 400, response.body.substr(at, response.body.find('"', at) - at));
        }
    }
}

bool is_json(const httplib::Request & request) { return !request.is_multipart_form_data(); }

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
        const work under_watch(shape);
        allow(work_of(request.body.size()));
        try {
            exchange_of talk(path);
            if (is_json(request) && !request.body.empty()) {
                const_cast<httplib::Request &>(request).body = talk.ask(admit(path, request.body));
            }
            handler(request, response);
            talk.answer(response);
        } catch (const refused & why) {
            refuse(response, 400, why.what());
        } catch (const std::exception & why) {
            refuse(response, ran_out() ? 400 : 500, why.what());
        }
        blame_the_request(response);
        if (request_seconds > 0 && !response.content_provider_ && std::chrono::steady_clock::now() - begun > std::chrono::seconds(request_seconds)) {
            refuse(response, 504, "no answer within " + std::to_string(request_seconds) + " seconds; --request-timeout sets them");
        }
    };
}

httplib::Server::Handler around_get(const std::string &, httplib::Server::Handler handler) { return handler; }

}
