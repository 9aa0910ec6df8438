// What this build is; the values come from the build itself.
#pragma once

namespace lff {

constexpr const char * ENGINE_VERSION = LFF_ENGINE_VERSION;
constexpr const char * TARGET         = LFF_TARGET;
constexpr const char * FLAVOUR        = LFF_FLAVOUR;
constexpr bool         HAS_SERVER     = LFF_HAS_SERVER;

// The instructions in use: a level of cpu_select.h, or generic.
const char * cpu_level();

}
