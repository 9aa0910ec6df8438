// The gpu build's devices: opened before the sandbox closes, tried out, named.
#include "gpu.h"

#include "crash.h"
#include "platform.h"

#include "fit.h"
#include "ggml-backend.h"
#include "ggml-cpp.h"
#include "llama.h"

#include <vulkan/vulkan_core.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

extern "C" PFN_vkVoidFunction VKAPI_CALL vkGetInstanceProcAddr(VkInstance instance, const char * name);

namespace lff {
namespace {

constexpr size_t MARGIN = 512u << 20;  // bytes of a device that are left to others

std::string in_use;

// Drivers keep nothing on the disk, and no layer that a user's system puts between is loaded.
void quiet_drivers() {
    static const char * const settings[][2] = {
        { "MESA_SHADER_CACHE_DISABLE", "true" }, { "MESA_GLSL_CACHE_DISABLE", "true" }, { "__GL_SHADER_DISK_CACHE", "0" },
        { "AMD_SHADER_DISK_CACHE", "0" },        { "VK_LOADER_LAYERS_DISABLE", "~implicit~" }, { "NODEVICE_SELECT", "1" },
    };
    for (const auto & setting : settings) {
        put(setting[0], setting[1]);
    }
}

std::vector<ggml_backend_dev_t> devices() {
    std::vector<ggml_backend_dev_t> found;
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        const ggml_backend_dev_t    device = ggml_backend_dev_get(i);
        const enum ggml_backend_dev_type kind = ggml_backend_dev_type(device);
        if (kind == GGML_BACKEND_DEVICE_TYPE_GPU || kind == GGML_BACKEND_DEVICE_TYPE_IGPU) {
            found.push_back(device);
        }
    }
    return found;
}

// A product of two small matrices: the driver compiles a shader, and computes.
bool computes(ggml_backend_t backend) {
    constexpr int64_t SIDE = 32;
    ggml_context_ptr context(ggml_init({ 16 * ggml_tensor_overhead() + ggml_graph_overhead(), nullptr, true }));
    ggml_tensor *    a       = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, SIDE, SIDE);
    ggml_tensor *    b       = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, SIDE, 1);
    ggml_tensor *    product = ggml_mul_mat(context.get(), a, b);
    ggml_cgraph *    graph   = ggml_new_graph(context.get());
    ggml_build_forward_expand(graph, product);
    const ggml_backend_buffer_ptr memory(ggml_backend_alloc_ctx_tensors(context.get(), backend));
    if (memory == nullptr) {
        return false;
    }
    const std::vector<float> twos(SIDE * SIDE, 2), threes(SIDE, 3);
    std::vector<float>       result(SIDE);
    ggml_backend_tensor_set(a, twos.data(), 0, ggml_nbytes(a));
    ggml_backend_tensor_set(b, threes.data(), 0, ggml_nbytes(b));
    if (ggml_backend_graph_compute(backend, graph) != GGML_STATUS_SUCCESS) {
        return false;
    }
    ggml_backend_tensor_get(product, result.data(), 0, ggml_nbytes(product));
    for (const float value : result) {
        if (std::fabs(value - 6 * SIDE) > 0.5f) {
            return false;
        }
    }
    return true;
}

// Of an instance of our own, with nothing in it. Zero if there is none.
struct instance {
    VkInstance handle = nullptr;

    template <typename Function> Function get(const char * name) const {
        return reinterpret_cast<Function>(vkGetInstanceProcAddr(handle, name));
    }

    instance() {
        const auto create = get<PFN_vkCreateInstance>("vkCreateInstance");
        uint32_t   version = 0;
        const auto ask = get<PFN_vkEnumerateInstanceVersion>("vkEnumerateInstanceVersion");
        if (create != nullptr && ask(&version) == VK_SUCCESS) {
            VkApplicationInfo    program = { VK_STRUCTURE_TYPE_APPLICATION_INFO, nullptr, "llamafile", 1, nullptr, 0, VK_API_VERSION_1_2 };
            VkInstanceCreateInfo wanted  = { VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, nullptr, 0, &program, 0, nullptr, 0, nullptr };
            if (create(&wanted, nullptr, &handle) != VK_SUCCESS) {
                handle = nullptr;
            }
        }
    }
};

std::vector<VkPhysicalDeviceProperties> physical_devices() {
    const instance                          here;
    std::vector<VkPhysicalDeviceProperties> found;
    if (here.handle == nullptr) {
        return found;
    }
    const auto list = here.get<PFN_vkEnumeratePhysicalDevices>("vkEnumeratePhysicalDevices");
    const auto ask  = here.get<PFN_vkGetPhysicalDeviceProperties>("vkGetPhysicalDeviceProperties");
    uint32_t   count = 0;
    list(here.handle, &count, nullptr);
    std::vector<VkPhysicalDevice> all(count);
    list(here.handle, &count, all.data());
    for (uint32_t i = 0; i < count; i++) {
        found.emplace_back();
        ask(all[i], &found.back());
    }
    here.get<PFN_vkDestroyInstance>("vkDestroyInstance")(here.handle, nullptr);
    return found;
}

const char * kind_of(VkPhysicalDeviceType type) {
    switch (type) {
        case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:   return "discrete";
        case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return "integrated";
        case VK_PHYSICAL_DEVICE_TYPE_CPU:            return "in software, taken only by its number";
        default:                                     return "other, taken only by its number";
    }
}

}

bool has_gpu() { return true; }

bool open_gpu(const gpu_wish & wish) {
    quiet_drivers();
    if (wish.named()) {
        if ((size_t) wish.device >= physical_devices().size()) {
            close_gpu();
            return false;
        }
        put("GGML_VK_VISIBLE_DEVICES", std::to_string(wish.device));
    }
    llama_log_set([](enum ggml_log_level, const char *, void *) {}, nullptr);  // whoever works with the engine sets its own
    llama_backend_init();
    in_use.clear();
    for (const ggml_backend_dev_t device : devices()) {
        const ggml_backend_ptr backend(ggml_backend_dev_init(device, nullptr));
        if (backend != nullptr) {
            in_use += (in_use.empty() ? "" : ", ") + std::string(ggml_backend_dev_description(device));
        }
    }
    return !in_use.empty();
}

void close_gpu() {
    put("GGML_DISABLE_VULKAN", "1");
    in_use.clear();
}

const std::string & gpu_name() { return in_use; }

int try_gpu() {
    for (const ggml_backend_dev_t device : devices()) {
        const ggml_backend_ptr backend(ggml_backend_dev_init(device, nullptr));
        if (backend == nullptr || !computes(backend.get())) {
            printf("wrong\n");
            return 0;
        }
    }
    printf("works\n");
    return 0;
}

void fit_to_gpu(const std::string & model, int layers, llama_model_params & loading, llama_context_params & shape) {
    static std::vector<float>                             split(llama_max_devices());
    static std::vector<llama_model_tensor_buft_override>  overrides(llama_max_tensor_buft_overrides());
    if (in_use.empty() || layers >= 0) {
        loading.n_gpu_layers = in_use.empty() ? 0 : layers;
        return;
    }
    std::vector<size_t> margins(llama_max_devices(), MARGIN);
    common_fit_params(model.c_str(), &loading, &shape, split.data(), overrides.data(), margins.data(), 512, nullptr, GGML_LOG_LEVEL_ERROR);
}

int list_gpus() {
    quiet_drivers();
    const std::vector<VkPhysicalDeviceProperties> all = physical_devices();
    for (size_t i = 0; i < all.size(); i++) {
        printf("LFF_GPU=%zu  %s (%s)\n", i, all[i].deviceName, kind_of(all[i].deviceType));
    }
    if (all.empty()) {
        printf("there is no device with Vulkan 1.2; the CPU is used\n");
    }
    return 0;
}

}
