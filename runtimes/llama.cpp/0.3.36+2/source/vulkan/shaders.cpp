#include "shaders.h"

#include "archive.h"
#include "build.h"
#include "crash.h"
#include "sha256.h"

#include "zstd.h"

struct ggml_backend_reg;
extern "C" ggml_backend_reg * ggml_backend_vk_reg();

namespace lff {

alignas(16) unsigned char shader_archive[LFF_SHADERS_SIZE];

namespace {

constexpr uint64_t MAX_COMPRESSED = 16u << 20;  // bytes; they are 6 MB

// What is wrong with the container's shaders; empty if nothing is.
std::string read_shaders() {
    const std::string name  = std::string("runtimes/llama.cpp/") + ENGINE_VERSION + "/shaders.zst";
    const member *    found = container().find(name);
    if (found == nullptr || found->size > MAX_COMPRESSED) {
        return "there is no usable " + name + " in this file";
    }
    const std::string compressed = container().read(*found, MAX_COMPRESSED);
    const size_t      size = ZSTD_decompress(shader_archive, sizeof shader_archive, compressed.data(), compressed.size());
    if (ZSTD_isError(size) || size != sizeof shader_archive) {
        return name + " is damaged";
    }
    return sha256().update(shader_archive, size).hex() == LFF_SHADERS_SHA256 ? "" : name + " is not that of this program";
}

}

bool fill_shaders() {
    static const std::string wrong = [] {
        std::string found;
        try {
            found = read_shaders();
        } catch (const std::exception & error) {
            found = error.what();
        }
        if (!found.empty()) {
            report_failure("no GPU: " + found);
        }
        return found;
    }();
    return wrong.empty();
}

}

// What the registry of backends calls by that name: no shader is read before they are there.
extern "C" ggml_backend_reg * lff_vulkan_reg() { return lff::fill_shaders() ? ggml_backend_vk_reg() : nullptr; }
