// Upstream's Vulkan backend finds all functions through one, but names four at link time. These stand in for the system's
// loader, which is opened when the first is called: a program that has them starts where there is none.
#include <vulkan/vulkan_core.h>

#include <cstring>

#if defined(_WIN32)
#  include <windows.h>
#else
#  include <dlfcn.h>
#endif

namespace {

PFN_vkVoidFunction look_up(const char * name) {
#if defined(_WIN32)
    static const HMODULE library = LoadLibraryExW(L"vulkan-1.dll", nullptr, LOAD_LIBRARY_SEARCH_SYSTEM32);
    return library == nullptr ? nullptr : (PFN_vkVoidFunction) GetProcAddress(library, name);
#else
    static void * const library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    return library == nullptr ? nullptr : (PFN_vkVoidFunction) dlsym(library, name);
#endif
}

template <typename Function> Function system_s(const char * name) { return reinterpret_cast<Function>(look_up(name)); }

// The backend's first question. It wants 1.2 and complains aloud about less; told of a failure it goes without a word.
VKAPI_ATTR VkResult VKAPI_CALL version(uint32_t * found) {
    static const auto ask = system_s<PFN_vkEnumerateInstanceVersion>("vkEnumerateInstanceVersion");
    const VkResult result = ask == nullptr ? VK_ERROR_INITIALIZATION_FAILED : ask(found);
    return result == VK_SUCCESS && *found < VK_API_VERSION_1_2 ? VK_ERROR_INITIALIZATION_FAILED : result;
}

}

extern "C" {

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vkGetInstanceProcAddr(VkInstance instance, const char * name) {
    if (strcmp(name, "vkEnumerateInstanceVersion") == 0) {
        return reinterpret_cast<PFN_vkVoidFunction>(version);
    }
    static const auto ask = system_s<PFN_vkGetInstanceProcAddr>("vkGetInstanceProcAddr");
    return ask == nullptr ? nullptr : ask(instance, name);
}

// The others are called when there is an instance, and so a loader.
VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vkGetDeviceProcAddr(VkDevice device, const char * name) {
    static const auto ask = system_s<PFN_vkGetDeviceProcAddr>("vkGetDeviceProcAddr");
    return ask(device, name);
}

VKAPI_ATTR void VKAPI_CALL vkGetPhysicalDeviceFeatures2(VkPhysicalDevice device, VkPhysicalDeviceFeatures2 * features) {
    static const auto ask = system_s<PFN_vkGetPhysicalDeviceFeatures2>("vkGetPhysicalDeviceFeatures2");
    ask(device, features);
}

VKAPI_ATTR void VKAPI_CALL vkCmdCopyBuffer(VkCommandBuffer commands, VkBuffer from, VkBuffer to, uint32_t count, const VkBufferCopy * regions) {
    static const auto ask = system_s<PFN_vkCmdCopyBuffer>("vkCmdCopyBuffer");
    ask(commands, from, to, count, regions);
}

}
