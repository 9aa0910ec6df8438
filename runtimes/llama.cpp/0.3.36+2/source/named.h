// What the user named on their own command line: the files that the sandbox leaves open. The arguments of a container
// grant nothing.
#pragma once

#include "sandbox.h"

#include <string>
#include <vector>

namespace lff {

// Files and folders that `user` names, and the container at `container` (empty: none). Throws std::runtime_error if
// something is to be written that holds the cache of programs, or the container.
grants named_by(const std::vector<std::string> & user, const std::string & container);

}
