// Which instructions this build uses. In native builds levels.cpp answers instead.
#include "build.h"

namespace lff {

const char * cpu_level() { return LFF_CPU_LEVEL; }

}
