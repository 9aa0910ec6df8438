// What this build is; the values come from the build itself.
#pragma once

namespace lff {

constexpr const char * ENGINE_VERSION = LFF_ENGINE_VERSION;
constexpr const char * TARGET         = LFF_TARGET;
constexpr const char * FLAVOUR        = LFF_FLAVOUR;
constexpr bool         HAS_SERVER     = LFF_HAS_SERVER;

// The instructions in use: generic, v1, v3, v4, or the processor's family.
const char * cpu_level();

}
