#include "door.h"

#if !defined(_WIN32) && !defined(__wasi__)

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#if !defined(MSG_NOSIGNAL)
#  define MSG_NOSIGNAL 0
#endif

namespace lff {
namespace {

constexpr const char * NOBODY =
    "HTTP/1.1 503 Service Unavailable\r\n"
    "Retry-After: 2\r\n"
    "Content-Type: application/json; charset=utf-8\r\n"
    "Content-Length: 96\r\n"
    "Connection: close\r\n"
    "\r\n"
    "{\"error\":{\"code\":503,\"message\":\"the engine is being started again\",\"type\":\"unavailable_error\"}}\n";

constexpr const char * ANSWERED = "HTTP/1.1 200";

constexpr size_t GUESTS    = 64;   // who comes when more are leaving waits in the system's queue
constexpr double READING   = 1;    // seconds to read an answer in
constexpr double ANSWERING = 2;    // seconds to answer whether one is there

void make_nonblocking(int fd) {
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

// Where a client of this machine reaches a listening socket: one that listens everywhere is reached by loopback.
socklen_t reached_at(int listening, sockaddr_storage & address) {
    socklen_t size = sizeof address;
    memset(&address, 0, sizeof address);
    if (getsockname(listening, (struct sockaddr *) &address, &size) != 0) {
        return 0;
    }
    sockaddr_in &  four = (sockaddr_in &) address;
    sockaddr_in6 & six  = (sockaddr_in6 &) address;
    if (address.ss_family == AF_INET && four.sin_addr.s_addr == htonl(INADDR_ANY)) {
        four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else if (address.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&six.sin6_addr)) {
        six.sin6_addr = in6addr_loopback;
    }
    return size;
}

}

porter::~porter() {
    for (const guest & g : leaving) {
        close(g.fd);
    }
}

void porter::turn_away(int listening) {
    struct pollfd waiting = { listening, POLLIN, 0 };
    while (leaving.size() < GUESTS && poll(&waiting, 1, 0) > 0) {
        const int fd = accept(listening, nullptr, nullptr);
        if (fd < 0) {
            return;
        }
        make_nonblocking(fd);
        send(fd, NOBODY, strlen(NOBODY), MSG_NOSIGNAL);
        shutdown(fd, SHUT_WR);
        leaving.push_back({ fd, 0 });
    }
}

// A connection that is closed before all that was sent on it has been read is reset, and the answer may be lost with it.
void porter::see_off(double now) {
    for (size_t i = 0; i < leaving.size();) {
        guest & g = leaving[i];
        g.until = g.until == 0 ? now + READING : g.until;
        char          unread[65536];
        const ssize_t got = recv(g.fd, unread, sizeof unread, 0);
        if (got == 0 || now > g.until || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
            close(g.fd);
            leaving.erase(leaving.begin() + (std::ptrdiff_t) i);
        } else {
            i++;
        }
    }
}

knock::knock(int listening, const std::string & prefix)
    : listening(listening), request("GET " + prefix + "/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n") {}

void knock::give_up() {
    if (fd >= 0) {
        close(fd);
    }
    fd = -1;
}

void knock::come(double now) {
    sockaddr_storage address;
    const socklen_t  size = reached_at(listening, address);
    since = now;
    sent  = 0;
    got.clear();
    fd = socket(address.ss_family, SOCK_STREAM, 0);
    if (fd >= 0) {
        make_nonblocking(fd);
        if (connect(fd, (struct sockaddr *) &address, size) != 0 && errno != EINPROGRESS) {
            give_up();
        }
    }
}

bool knock::is_answered(double now) {
    if (fd < 0) {
        come(now);
    }
    if (fd >= 0 && sent < request.size()) {
        const ssize_t size = send(fd, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
        sent += size > 0 ? (size_t) size : 0;
    }
    char          piece[64];
    const ssize_t size = fd < 0 ? -1 : recv(fd, piece, sizeof piece, 0);
    got.append(piece, size > 0 ? (size_t) size : 0);
    const bool said = got.size() >= strlen(ANSWERED);
    if (said || size == 0 || now - since > ANSWERING) {
        give_up();
    }
    return said && got.compare(0, strlen(ANSWERED), ANSWERED) == 0;
}

std::string address_of(int listening) {
    sockaddr_storage address;
    const socklen_t  size = reached_at(listening, address);
    char             text[INET6_ADDRSTRLEN] = "";
    if (address.ss_family == AF_UNIX) {
        return "unix:" + std::string(((sockaddr_un &) address).sun_path);
    }
    if (address.ss_family == AF_INET6) {
        const sockaddr_in6 & six = (sockaddr_in6 &) address;
        inet_ntop(AF_INET6, &six.sin6_addr, text, sizeof text);
        return "http://[" + std::string(text) + "]:" + std::to_string(ntohs(six.sin6_port)) + "/";
    }
    const sockaddr_in & four = (sockaddr_in &) address;
    inet_ntop(AF_INET, &four.sin_addr, text, sizeof text);
    return size == 0 ? "" : "http://" + std::string(text) + ":" + std::to_string(ntohs(four.sin_port)) + "/";
}

}

#endif
