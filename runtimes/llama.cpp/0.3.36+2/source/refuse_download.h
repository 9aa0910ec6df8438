// Forced in front of upstream's server-common.cpp (see cmake/server.cmake): a picture or a sound that a request names by
// its web address is refused. Upstream would download it, from wherever the address says; nothing here fetches anything.
#pragma once

#include "download.h"

#include <stdexcept>

namespace lff {

inline std::pair<long, std::vector<char>> refuse_download(const std::string & address, const common_remote_params &) {
    throw std::invalid_argument("nothing is fetched: send " + address.substr(0, 80) + " itself, as a data: address");
}

}

#define common_remote_get_content lff::refuse_download
