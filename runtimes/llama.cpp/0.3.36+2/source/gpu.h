// The graphics processor: who decides that one is used, and the process that uses it. The native build decides, before
// anything of a model is read, and hands over to the container's gpu build; whatever fails on the way leaves the CPU.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

struct llama_model_params;
struct llama_context_params;

namespace lff {

// What the user wants: LFF_GPU=auto, off, or the number of a device; auto where nothing is said, but off where no device was
// ever tried: on all systems but Linux.
struct gpu_wish {
    bool off    = false;
    int  device = -1;  // by its number, whatever kind of device it is; -1: discrete and integrated ones

    bool named() const { return device >= 0; }
};

// Throws usage_error for another value.
gpu_wish wanted_gpu();

// In a native build whose container has a gpu build for the same target: becomes that one if there is a device that works.
// Otherwise returns, after at most one line. Nothing is looked for in vain: without nodes of devices it costs a few calls.
// On Windows the native build is both: it starts itself once more, and ends with it, or returns with a wish that is off.
void hand_over_to_gpu(gpu_wish & wish, const std::vector<std::string> & user);

// Modes whose results must be the same everywhere, or that compute nothing.
bool stays_on_cpu(const std::vector<std::string> & user);

// Whether this program itself uses graphics processors: a gpu build, or a native one that is both.
bool has_gpu();

// In a gpu build, the inner process: loads the drivers, before the sandbox closes. False if there is no device that works.
bool open_gpu(const gpu_wish & wish);
// No device is used from here on, nor looked for.
void close_gpu();
// The device in use, for people; empty: the CPU.
const std::string & gpu_name();

// What a hand-over asks a gpu build in a process of its own, shut in like one that works: whether what the open device
// computes is right. Prints a word.
int try_gpu();
constexpr const char * PROBE = "--probe-gpu";

// As many layers as the devices have memory for, where `layers` is negative; else so many. Nothing where there is no device.
void fit_to_gpu(const std::string & model, int layers, llama_model_params & loading, llama_context_params & shape);

// Prints the devices with their numbers.
int list_gpus();

// The exit status of an inner process that the GPU failed: the outer one starts it again on the CPU.
constexpr int GPU_FAILED = 75;

// What a device failed at that the CPU may not.
struct gpu_failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}
