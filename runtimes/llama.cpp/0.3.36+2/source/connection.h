// A connection whose request is being answered: the stream that upstream's HTTP library reads and writes. It gives the bytes
// that the lobby has read, then those that still come, and neither a slow sender nor a slow reader can hold it for ever.
#pragma once

#include "lobby.h"
#include "watch.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>

#include <cpp-httplib/httplib.h>

namespace lff {

class connection final : public httplib::Stream {
public:
    explicit connection(lff_socket socket) : own(socket), text(arrived(socket)), until(std::chrono::steady_clock::now() + std::chrono::seconds(BODY_SECONDS)) {}

    std::string rest() { return text.substr(at); }

    bool is_readable() const override { return at < text.size() || ready(own, false, 0); }
    bool wait_readable() const override { return at < text.size() || ready(own, false, left()); }

    // Who waits for a reader does not stand still (watch.h), and waits no longer than for one that reads slowly.
    bool wait_writable() const override {
        const auto began = std::chrono::steady_clock::now();
        while (!ready(own, true, MILLISECONDS_BETWEEN)) {
            heartbeat();
            if (waited + (std::chrono::steady_clock::now() - began) > patience()) {
                return false;
            }
        }
        waited += std::chrono::steady_clock::now() - began;
        return waited <= patience();
    }

    ssize_t read(char * out, size_t size) override {
        if (at == text.size()) {
            const ssize_t got = refill();
            if (got <= 0) {
                return got;
            }
        }
        const size_t some = std::min(size, text.size() - at);
        memcpy(out, text.data() + at, some);
        at += some;
        return (ssize_t) some;
    }

    ssize_t write(const char * data, size_t size) override {
        if (!wait_writable()) {
            return -1;
        }
#if defined(MSG_NOSIGNAL)
        const ssize_t done = send(own, data, size, MSG_NOSIGNAL);
#else
        const ssize_t done = send(own, data, size, 0);
#endif
        sent += done > 0 ? (uint64_t) done : 0;
        heartbeat();
        return done;
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
    static constexpr int      MILLISECONDS_BETWEEN = 1000;
    static constexpr int      READER_SECONDS = 60;        // that all writing together may wait for its reader
    static constexpr uint64_t READER_BYTES   = 16 << 10;  // of an answer, for which it may wait one second more

    std::chrono::seconds patience() const { return std::chrono::seconds(READER_SECONDS + (int64_t) (sent / READER_BYTES)); }

    // The next bytes, as recv() gives them.
    ssize_t refill() {
        char piece[16384];
        if (left() <= 0 || !ready(own, false, left())) {
            return -1;
        }
        const ssize_t got = recv(own, piece, sizeof piece, 0);
        if (got > 0) {
            text.assign(piece, (size_t) got);
            at = 0;
        }
        return got;
    }

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
    size_t                                at   = 0;
    uint64_t                              sent = 0;  // bytes of the answer
    mutable std::chrono::steady_clock::duration waited{ 0 };  // for the reader
    std::chrono::steady_clock::time_point until;
};

}
