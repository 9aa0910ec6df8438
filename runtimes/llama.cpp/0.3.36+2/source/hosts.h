// For whom a request was meant. A page on another site can make a browser send requests to this machine; by its Host (a name that was
// rebound to an address of this machine) or its Origin such a request is told from one of the user's own (spec/1.0, 14.6.4, 14.6.17).
#pragma once

#include <string>

namespace lff {

struct hosts {
    std::string named;            // by --host, separated by commas
    std::string allowed;          // by --allow-host, likewise; * is every name
    bool        origins = false;  // the user allowed pages from elsewhere (--cors-origins)
};
extern hosts own_hosts;  // set before the server starts

// Why a request is refused; empty if it is not. `host` and `origin` are its headers, empty if absent.
std::string foreign(const std::string & host, const std::string & origin);

}
