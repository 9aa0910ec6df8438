/* A driver of Vulkan that misbehaves: FAKE_DRIVER is what it does, FAKE_REAL the driver that does the rest.
 *   crash    ends the process when an instance is made
 *   hang     never comes back from there
 *   none     has no devices
 *   lost:N   loses the device at the Nth submission
 *   dies:N   crashes then */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vulkan/vulkan_core.h>

typedef PFN_vkVoidFunction (*find)(VkInstance, const char *);

static int does(const char * what) {
    const char * wanted = getenv("FAKE_DRIVER");
    return wanted != NULL && strncmp(wanted, what, strlen(what)) == 0;
}

static void * real(const char * name) {
    static void * library;
    if (library == NULL) {
        library = dlopen(getenv("FAKE_REAL"), RTLD_NOW | RTLD_LOCAL);
    }
    return library == NULL ? NULL : dlsym(library, name);
}

static PFN_vkVoidFunction ask(VkInstance instance, const char * name) { return ((find) real("vk_icdGetInstanceProcAddr"))(instance, name); }

static VkResult create(const VkInstanceCreateInfo * wanted, const VkAllocationCallbacks * memory, VkInstance * made) {
    if (does("crash")) {
        abort();
    }
    while (does("hang")) {
        pause();
    }
    return ((PFN_vkCreateInstance) ask(NULL, "vkCreateInstance"))(wanted, memory, made);
}

static VkResult list(VkInstance instance, uint32_t * count, VkPhysicalDevice * devices) {
    if (does("none")) {
        *count = 0;
        return VK_SUCCESS;
    }
    return ((PFN_vkEnumeratePhysicalDevices) ask(instance, "vkEnumeratePhysicalDevices"))(instance, count, devices);
}

static PFN_vkQueueSubmit      real_submit;
static PFN_vkGetDeviceProcAddr real_of_device;

static VkResult submit(VkQueue queue, uint32_t count, const VkSubmitInfo * work, VkFence fence) {
    static int done;
    const char * wanted = getenv("FAKE_DRIVER");
    if ((does("lost:") || does("dies:")) && ++done >= atoi(wanted + 5)) {
        if (does("dies:")) {
            abort();
        }
        return VK_ERROR_DEVICE_LOST;
    }
    return real_submit(queue, count, work, fence);
}

static PFN_vkVoidFunction of_device(VkDevice device, const char * name) {
    if (strcmp(name, "vkQueueSubmit") == 0) {
        real_submit = (PFN_vkQueueSubmit) real_of_device(device, name);
        return (PFN_vkVoidFunction) submit;
    }
    return real_of_device(device, name);
}

__attribute__((visibility("default"))) PFN_vkVoidFunction vk_icdGetInstanceProcAddr(VkInstance instance, const char * name) {
    if (strcmp(name, "vkCreateInstance") == 0) {
        return (PFN_vkVoidFunction) create;
    }
    if (strcmp(name, "vkEnumeratePhysicalDevices") == 0) {
        return (PFN_vkVoidFunction) list;
    }
    PFN_vkVoidFunction found = ask(instance, name);
    if (strcmp(name, "vkGetDeviceProcAddr") == 0 && found != NULL) {
        real_of_device = (PFN_vkGetDeviceProcAddr) found;
        return (PFN_vkVoidFunction) of_device;
    }
    return found;
}

__attribute__((visibility("default"))) VkResult vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t * version) {
    typedef VkResult (*negotiate)(uint32_t *);
    return ((negotiate) real("vk_icdNegotiateLoaderICDInterfaceVersion"))(version);
}

__attribute__((visibility("default"))) PFN_vkVoidFunction vk_icdGetPhysicalDeviceProcAddr(VkInstance instance, const char * name) {
    return ((find) real("vk_icdGetPhysicalDeviceProcAddr"))(instance, name);
}
