// The server: upstream's, told to keep to this machine and to this file.
#pragma once

#include "plan.h"

#include <string>
#include <vector>

namespace lff {

// Opens the sockets that serve() will listen at, in the process that starts it. Throws std::runtime_error.
std::vector<int> listen_for(const std::vector<std::string> & arguments);
bool             wants_browser(const std::vector<std::string> & arguments);
int              seconds_of(const std::vector<std::string> & arguments);  // that a request has; 0: no limit

// `fewer_threads`: their number is the most, not one that the user gave.
int serve(const contents & found, std::vector<std::string> arguments, bool fewer_threads);

}
