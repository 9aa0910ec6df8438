// Upstream's tables of shaders, with names of shaders in them.
#include "ggml-vulkan-shaders.hpp"

#include "tables.inc"
