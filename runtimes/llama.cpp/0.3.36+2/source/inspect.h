// --inspect: the manifest's summary, for somebody who has none of our tools.
#pragma once

#include "archive.h"

namespace lff {

int inspect(const archive & container);

}
