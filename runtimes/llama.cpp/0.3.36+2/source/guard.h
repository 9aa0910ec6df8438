// Forced in front of upstream's server-http.cpp (see CMakeLists.txt): its httplib::Server is one that first refuses
// requests meant for somebody else (hosts.h), then those that ask for too much, and that gives no connection a thread before
// its request is whole.
#pragma once

#include "connection.h"
#include "gate.h"
#include "hosts.h"
#include "listen.h"
#include "watch.h"

#include <atomic>
#include <chrono>

#include <cpp-httplib/httplib.h>

namespace lff {

// Seconds after which a request is given up; 0: never.
extern int request_seconds;

// What this thread does is done for a request of this shape from here on, until end_request().
void begin_request(uint64_t shape);
void end_request();

// What a large request takes until it is tokens is many times its size: a few are prepared at a time, and this one no longer.
void prepared();

// {"error": ...}, as upstream words it.
void refuse(httplib::Response & response, int status, const std::string & message);

// Around upstream's handler: admits the body, calls the handler, puts right what it answers (gate, openai.cpp).
httplib::Server::Handler around_post(const std::string & path, httplib::Server::Handler handler);
httplib::Server::Handler around_get(const std::string & path, httplib::Server::Handler handler);

}

namespace httplib {

class GuardedServer : public Server {
    std::atomic<bool> stopping{ false };

public:
    GuardedServer() { set_payload_max_length(lff::MAX_BODY); }

    // An answer under way would be waited for after the engine has stopped, and never come: to it, its reader has gone.
    void stop() {
        stopping = true;
        Server::stop();
    }

    Server & Get(const std::string & path, Handler handler) {
        if (path == "/v1/models" || path == "/models") {
            Server::Get(path + "/(.+)", lff::around_get(path + "/", handler));
        }
        return Server::Get(path, lff::around_get(path, std::move(handler)));
    }
    Server & Post(const std::string & path, Handler handler) { return Server::Post(path, lff::around_post(path, std::move(handler))); }

    Server & set_pre_routing_handler(HandlerWithResponse next) {
        return Server::set_pre_routing_handler([this, next](const Request & request, Response & response) {
            std::function<bool()> & gone  = const_cast<Request &>(request).is_connection_closed;
            const auto              until = std::chrono::steady_clock::now() + std::chrono::seconds(lff::request_seconds);
            gone = [this, own = gone, until] {
                lff::prepared();
                lff::heartbeat();  // who waits for the engine does not stand still
                return stopping || own() || (lff::request_seconds > 0 && std::chrono::steady_clock::now() > until);
            };
            if (is_too_long(request.get_header_value("Content-Length"))) {
                lff::refuse(response, 413, "the request has more than " + std::to_string(lff::MAX_BODY) + " bytes");
                response.set_header("Connection", "close");
                return HandlerResponse::Handled;
            }
            const std::string why = lff::foreign(request.get_header_value("Host"), request.get_header_value("Origin"));
            if (!why.empty()) {
                lff::refuse(response, 403, why);
                return HandlerResponse::Handled;
            }
            lff::allow(lff::work_of(0));
            return next(request, response);
        });
    }

private:
    // Of a body that will not be read: said from the headers alone.
    static bool is_too_long(const std::string & length) {
        const size_t first = length.find_first_not_of('0');
        const bool   plain = first != std::string::npos && length.find_first_not_of("0123456789") == std::string::npos;
        return plain && (length.size() - first > 9 || std::stoul(length) > lff::MAX_BODY);
    }

    bool process_and_close_socket(socket_t socket) override {
        lff::connection stream(socket);
        bool closed = false, upgraded = false;
        const bool done = serve_guarded([&] {
            std::string theirs, ours;
            int         their_port = 0, our_port = 0;
            stream.get_remote_ip_and_port(theirs, their_port);
            stream.get_local_ip_and_port(ours, our_port);
            return process_request(stream, theirs, their_port, ours, our_port, false, closed, nullptr, &upgraded);
        });
        lff::end_request();
        if (done && !closed && !upgraded && !stopping) {
            lff::wait_again(socket, stream.rest());
        } else if (stopping) {
            lff::hang_up(socket);
        } else {
            lff::see_off(socket);
        }
        return done;
    }
};

}

#define Server GuardedServer
