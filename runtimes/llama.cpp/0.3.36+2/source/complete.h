// One-shot completion: a prompt in, the text that follows out.
#pragma once

#include "session.h"

#include <string>
#include <vector>

namespace lff {

int complete(const settings & model, const std::vector<std::string> & arguments);

}
