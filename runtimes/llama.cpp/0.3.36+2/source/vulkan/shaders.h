// The shaders of the Vulkan backend, from the container's member runtimes/llama.cpp/VERSION/shaders.zst.
#pragma once

namespace lff {

// Decompresses them to where the backend reads them; once, and what comes out is compared with the digest that this
// program was built with. False, after one line, if they are not there or are others.
bool fill_shaders();

}
