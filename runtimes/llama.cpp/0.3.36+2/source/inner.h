// The inner process: shuts itself in, then works.
#pragma once

#include "outer.h"

namespace lff {

// Returns the exit status. `parent`: the outer process, with which it ends; 0 if there is none.
int run_inner(const errand & given, int parent);

}
