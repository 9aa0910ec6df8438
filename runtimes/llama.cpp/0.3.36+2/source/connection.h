// A connection whose request is being answered: the stream that upstream's HTTP library reads and writes. It gives the bytes
// that the lobby has read, then those that still come, and neither a slow sender nor a slow reader can hold it for ever.
#pragma once

#include "lobby.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include <cpp-httplib/httplib.h>

namespace lff {

class connection final : public httplib::Stream {
public:
    explicit connection(lff_socket socket) : own(socket), text(arrived(socket)), until(std::chrono::steady_clock::now() + std::chrono::seconds(BODY_SECONDS)) {}

    std::string rest() { return text.substr(at); }

    bool is_readable() const override { return at < text.size() || ready(own, false, 0); }
    bool wait_readable() const override { return at < text.size() || ready(own, false, left()); }
    bool wait_writable() const override { return ready(own, true, WRITE_MILLISECONDS); }

    ssize_t read(char * out, size_t size) override {
        if (at < text.size()) {
            const size_t some = std::min(size, text.size() - at);
            memcpy(out, text.data() + at, some);
            at += some;
            return (ssize_t) some;
        }
        return left() > 0 && ready(own, false, left()) ? recv(own, out, size, 0) : -1;
    }

    ssize_t write(const char * data, size_t size) override {
        if (!wait_writable()) {
            return -1;
        }
#if defined(MSG_NOSIGNAL)
        return send(own, data, size, MSG_NOSIGNAL);
#else
        return send(own, data, size, 0);
#endif
    }

    const char * buffered_data(size_t & size) const override {
        size = text.size() - at;
        return text.data() + at;
    }
    void consume_buffered(size_t size) override { at += size; }

    void get_remote_ip_and_port(std::string & ip, int & port) const override { name(getpeername, ip, port); }
    void get_local_ip_and_port(std::string & ip, int & port) const override { name(getsockname, ip, port); }
    socket_t socket() const override { return own; }
    time_t   duration() const override { return 0; }

private:
    static constexpr int WRITE_MILLISECONDS = 60000;  // in which nothing could be written: its reader has gone

    int left() const {
        return (int) std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
    }

    template <typename Name> void name(Name which, std::string & ip, int & port) const {
        sockaddr_storage address = {};
        socklen_t        length  = sizeof address;
        char             host[128] = "", service[16] = "0";
        if (which(own, (sockaddr *) &address, &length) == 0) {
            getnameinfo((sockaddr *) &address, length, host, sizeof host, service, sizeof service, NI_NUMERICHOST | NI_NUMERICSERV);
        }
        ip   = host;
        port = atoi(service);
    }

    lff_socket                            own;
    std::string                           text;
    size_t                                at = 0;
    std::chrono::steady_clock::time_point until;
};

}
