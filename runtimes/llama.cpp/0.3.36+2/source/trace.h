// Trace mode: a request (JSON) on standard input, what the model did, step by step, as JSON lines on standard output
// (spec/1.0, 14.6).
#pragma once

#include "session.h"

namespace lff {

int trace(settings model);

}
