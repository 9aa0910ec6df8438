#include "listen.h"

#include "lobby.h"

#include <atomic>
#include <cstring>

#if !defined(_WIN32)
#  include <arpa/inet.h>
#  include <fcntl.h>
#  include <netinet/in.h>
#  include <unistd.h>
#endif

namespace {

std::atomic<int>  port_in_use{ 0 };
std::atomic<bool> loopback_only{ false };

uint16_t port_of(const sockaddr_storage & address) {
    return ntohs(address.ss_family == AF_INET6 ? ((const sockaddr_in6 &) address).sin6_port : ((const sockaddr_in &) address).sin_port);
}

void set_port(sockaddr_storage & address, int port) {
    if (address.ss_family == AF_INET6) {
        ((sockaddr_in6 &) address).sin6_port = htons((uint16_t) port);
    } else {
        ((sockaddr_in &) address).sin_port = htons((uint16_t) port);
    }
}

bool is_loopback(const sockaddr_storage & address) {
    if (address.ss_family == AF_INET6) {
        return IN6_IS_ADDR_LOOPBACK(&((const sockaddr_in6 &) address).sin6_addr);
    }
    return ntohl(((const sockaddr_in &) address).sin_addr.s_addr) >> 24 == 127;
}

// On Windows a second program could otherwise take a port that is in use, and read what the first was to get.
void keep_port_to_ourselves(lff_socket socket) {
#if defined(_WIN32)
    const BOOL no = FALSE, yes = TRUE;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, (const char *) &no, sizeof no);
    setsockopt(socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (const char *) &yes, sizeof yes);
#else
    (void) socket;
#endif
}

// Elsewhere two programs can bind a port in the same instant, and it belongs to the first that listens. Who comes second
// needs a new socket in the old one's place: a bound one stays bound.
int keep_or_renew(lff_socket socket, int family) {
#if defined(_WIN32)
    (void) socket, (void) family;
    return 0;
#else
    if (listen(socket, SOMAXCONN) == 0) {
        return 0;
    }
    const int fresh = ::socket(family, SOCK_STREAM, 0), yes = 1;
    if (fresh >= 0) {
        setsockopt(fresh, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        dup2(fresh, socket);
        close(fresh);
        fcntl(socket, F_SETFD, FD_CLOEXEC);
    }
    return -1;
#endif
}

int try_port(lff_socket socket, sockaddr_storage & address, socklen_t size, int port) {
    set_port(address, port);
    const int result = bind(socket, (const struct sockaddr *) &address, size);
    return result == 0 ? keep_or_renew(socket, address.ss_family) : result;
}

}

int lff_bind(lff_socket socket, const struct sockaddr * given, socklen_t size) {
    if (lff::is_open_door(socket)) {
        return 0;
    }
    sockaddr_storage address = {};
    if ((size_t) size > sizeof address || (given->sa_family != AF_INET && given->sa_family != AF_INET6)) {
        return bind(socket, given, size);
    }
    memcpy(&address, given, (size_t) size);
    keep_port_to_ourselves(socket);

    const int wanted = port_of(address);
    int       result = -1;
    if (wanted != 0) {
        result = try_port(socket, address, size, wanted);
    } else {
        for (int port = lff::FIRST_PORT; result != 0 && port <= lff::LAST_PORT; port++) {
            result = try_port(socket, address, size, port);
        }
        if (result != 0) {
            result = try_port(socket, address, size, 0);
        }
    }
    socklen_t length = sizeof address;
    if (result == 0 && getsockname(socket, (struct sockaddr *) &address, &length) == 0) {
        loopback_only = is_loopback(address);
        port_in_use   = port_of(address);
    }
    return result;
}

lff_socket lff_accept(lff_socket listening) { return lff::next_request(listening); }

namespace lff {

lff_socket accept_one(lff_socket listening) { return accept(listening, nullptr, nullptr); }

int  bound_port() { return port_in_use; }
bool bound_to_loopback() { return loopback_only; }

}
