#include "hosts.h"

#include "listen.h"

#include <algorithm>
#include <cctype>

#if !defined(_WIN32)
#  include <arpa/inet.h>
#endif

namespace lff {

hosts own_hosts;

namespace {

std::string lowered(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return (char) std::tolower(c); });
    return text;
}

// Without the port: what precedes the last colon, or is in brackets.
std::string name_of(const std::string & host) {
    if (!host.empty() && host[0] == '[') {
        const size_t after = host.find(']') + 1;
        return after == host.size() || host[after] == ':' ? host.substr(0, after) : host;
    }
    return lowered(host.substr(0, host.find(':')));
}

bool is_address(const std::string & name) {
    unsigned char bytes[16];
    if (name.size() > 2 && name[0] == '[') {
        return inet_pton(AF_INET6, name.substr(1, name.size() - 2).c_str(), bytes) == 1;
    }
    return inet_pton(AF_INET, name.c_str(), bytes) == 1;
}

bool is_among(const std::string & name, const std::string & list) {
    for (size_t at = 0; at < list.size();) {
        const size_t end = std::min(list.find(',', at), list.size());
        if (!name.empty() && lowered(list.substr(at, end - at)) == name) {
            return true;
        }
        at = end + 1;
    }
    return false;
}

bool is_ours(const std::string & name) {
    if (own_hosts.allowed == "*" || is_among(name, own_hosts.allowed)) {
        return true;
    }
    if (bound_to_loopback()) {
        return name == "localhost" || name == "127.0.0.1" || name == "[::1]";
    }
    return name == "localhost" || is_address(name) || is_among(name, own_hosts.named);
}

}

std::string foreign(const std::string & host, const std::string & origin) {
    const std::string name = name_of(host);
    if (!is_ours(name)) {
        return "this server does not answer to the name " + name.substr(0, 80) + "; --allow-host NAME lets it";
    }
    const bool own = origin == "http://" + host || (origin == "https://" + host && is_among(name, own_hosts.allowed));  // behind a proxy
    return origin.empty() || own_hosts.origins || own ? "" : "this server answers its own pages only; --cors-origins lets others in";
}

}
