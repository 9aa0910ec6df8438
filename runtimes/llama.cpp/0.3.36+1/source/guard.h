// Forced in front of upstream's server-http.cpp (see CMakeLists.txt): its httplib::Server is one that first refuses
// requests meant for somebody else. A page on another site can make a browser send requests to this machine; by its
// Host (a name rebound to 127.0.0.1) or its Origin such a request is told from one of the user's own.
#pragma once

#include "listen.h"

#include <atomic>

#include <cpp-httplib/httplib.h>

namespace lff {

// `host` is the Host header, `origin` the Origin header (empty if absent); `any_origin` if the user allowed others.
bool is_foreign(const std::string & host, const std::string & origin, bool any_origin);
extern bool allow_any_origin;

}

namespace httplib {

class GuardedServer : public Server {
    std::atomic<bool> stopping{ false };

public:
    // An answer under way would be waited for after the engine has stopped, and never come: to it, its reader has gone.
    void stop() {
        stopping = true;
        Server::stop();
    }

    Server & set_pre_routing_handler(HandlerWithResponse next) {
        return Server::set_pre_routing_handler([this, next](const Request & request, Response & response) {
            std::function<bool()> & gone = const_cast<Request &>(request).is_connection_closed;
            gone = [this, own = gone] { return stopping || own(); };
            if (lff::is_foreign(request.get_header_value("Host"), request.get_header_value("Origin"), lff::allow_any_origin)) {
                response.status = 403;
                response.set_content(R"({"error":{"code":403,"message":"this server answers its own machine and pages only","type":"forbidden"}})",
                                     "application/json; charset=utf-8");
                return HandlerResponse::Handled;
            }
            return next(request, response);
        });
    }
};

}

#define Server GuardedServer
