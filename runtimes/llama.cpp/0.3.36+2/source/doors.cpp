#include "listen.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <stdexcept>

#if !defined(_WIN32)

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

// Opened by the outer process; its copies have them too.
std::vector<int>         open_ones;
std::vector<std::string> addresses;
size_t                   handed = 0;

struct place {
    sockaddr_storage address = {};
    socklen_t        size    = 0;
};

bool is_unix(const std::string & host) { return host.size() > 5 && host.compare(host.size() - 5, 5, ".sock") == 0; }

[[noreturn]] void fail(const std::string & host, const std::string & why) {
    throw std::runtime_error("cannot listen at " + host + ": " + why);
}

place resolve(const std::string & host, int port) {
    place found;
    if (is_unix(host)) {
        sockaddr_un & address = (sockaddr_un &) found.address;
        if (host.size() >= sizeof address.sun_path) {
            fail(host, "the path is too long");
        }
        address.sun_family = AF_UNIX;
        memcpy(address.sun_path, host.c_str(), host.size());
        found.size = (socklen_t) (offsetof(sockaddr_un, sun_path) + host.size() + 1);
        return found;
    }
    struct addrinfo hints = {}, *list = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags    = AI_PASSIVE | AI_NUMERICSERV;
    const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
    if (error != 0 || list == nullptr) {
        fail(host, error != 0 ? gai_strerror(error) : "it has no address");
    }
    memcpy(&found.address, list->ai_addr, list->ai_addrlen);
    found.size = list->ai_addrlen;
    freeaddrinfo(list);
    return found;
}

// As upstream's HTTP library is given it: an address, no name that would have to be looked up again.
std::string numeric(const place & where, const std::string & host) {
    char text[NI_MAXHOST] = "";
    if (is_unix(host) || getnameinfo((const sockaddr *) &where.address, where.size, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0) {
        return host;
    }
    return text;
}

int listen_at(const std::string & host, int port, bool alone) {
    const place where = resolve(host, port);
    const int   fd = socket(where.address.ss_family, SOCK_STREAM, 0), yes = 1, six_only = !alone;
    addresses.push_back(numeric(where, host));
    if (fd < 0) {
        fail(host, strerror(errno));
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (where.address.ss_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &six_only, sizeof six_only);
    }
    if (lff_bind(fd, (const sockaddr *) &where.address, where.size) != 0 || listen(fd, SOMAXCONN) != 0) {
        fail(host, port == 0 ? strerror(errno) : "port " + std::to_string(port) + ": " + strerror(errno));
    }
    return fd;
}

}

lff_socket lff_open_socket(int family, int type, int protocol) {
    return handed < open_ones.size() ? open_ones[handed++] : socket(family, type, protocol);
}

namespace lff {

std::vector<int> open_doors(const std::vector<std::string> & hosts, int port) {
    for (const std::string & host : hosts) {
        open_ones.push_back(listen_at(host, port, hosts.size() == 1));
        port = port == 0 ? bound_port() : port;
    }
    return open_ones;
}

std::vector<std::string> door_arguments() {
    if (addresses.empty()) {
        return {};  // nothing is served: the server only tells its options
    }
    std::string hosts;
    for (const std::string & address : addresses) {
        hosts += (hosts.empty() ? "" : ",") + address;
    }
    return { "--host", hosts, "--port", std::to_string(bound_port() == 0 ? FIRST_PORT : bound_port()) };
}

bool is_open_door(lff_socket socket) { return std::count(open_ones.begin(), open_ones.end(), socket) > 0; }

}

#else

namespace lff {

// There are no two processes: the server opens its own.
std::vector<int>         open_doors(const std::vector<std::string> &, int) { return {}; }
std::vector<std::string> door_arguments() { return {}; }
bool                     is_open_door(lff_socket) { return false; }

}

#endif
