// How many clients are answered at once, with how much context each, by how many threads (spec/1.0, 14.6.15).
#pragma once

#include <string>
#include <vector>

namespace lff {

// Options for upstream's server, from the model's metadata, this machine's memory and its load; what they were told counts.
// Says so in one line on standard error, and tells the gate what to measure requests by.
std::vector<std::string> capacity_arguments(const std::string & model, const std::vector<std::string> & user, bool fewer_threads);

}
