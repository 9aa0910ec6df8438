// The server: upstream's, told to keep to this machine and to this file.
#pragma once

#include "plan.h"

#include <string>
#include <vector>

namespace lff {

int serve(const contents & found, std::vector<std::string> arguments);

}
