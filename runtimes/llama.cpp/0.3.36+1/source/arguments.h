// The member .args: default arguments in the quoted grammar without variables (spec/1.0, 3.8.3 and 3.8.4).
#pragma once

#include <string>
#include <vector>

namespace lff {

constexpr size_t MAX_ARGUMENTS_SIZE = 65536;  // bytes, 3.8.1
constexpr size_t MAX_ARGUMENTS      = 4096;

// The container's arguments with the user's in the place of the first `...`, or behind them if there is none (3.8.6).
std::vector<std::string> merge_arguments(const std::string & data, const std::vector<std::string> & user);

}
