#include "crash.h"

#include "gpu.h"
#include "told.h"

#include "ggml.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <system_error>

namespace lff {
namespace {

bool is_tracing = false;

// No longer than a line, and nothing but what any terminal shows: parts of it can come from a file.
std::string plain(const std::string & text) {
    std::string out;
    for (const char c : text.substr(0, 400)) {
        out += (unsigned char) c < 0x20 || (unsigned char) c > 0x7E ? ' ' : c;
    }
    return out;
}

// With the GPU in use everything that the engine gives up on may be its fault.
int report_of(const std::string & what, bool gpus_fault) {
    const bool again = gpus_fault && !told_begun();
    report_failure(gpus_fault ? "the GPU failed: " + what + (again ? "; the CPU is used" : "; LFF_GPU=off uses the CPU") : what);
    return again ? GPU_FAILED : 1;
}

[[noreturn]] void end(const std::string & what) {
    const int status = report_of(what, !gpu_name().empty());
    fflush(stdout);
    _Exit(status);
}

// Upstream's interface to Vulkan throws errors of this category.
bool is_of_vulkan(const std::exception & error) {
    const auto * const known = dynamic_cast<const std::system_error *>(&error);
    return known != nullptr && strcmp(known->code().category().name(), "vk::Result") == 0;
}

void engine_gave_up(const char * message) {
    const char * place = strrchr(message, '/');  // where in upstream's sources; its folders are of no use to anybody
    end("the engine gave up: " + std::string(place == nullptr ? message : place + 1));
}

[[noreturn]] void nobody_catches() {
    std::string what = "unknown";
    try {
        if (std::current_exception()) {
            std::rethrow_exception(std::current_exception());
        }
    } catch (const std::bad_alloc &) {
        what = "there is not enough memory";
    } catch (const std::exception & error) {
        what = error.what();
    } catch (...) {
    }
    end("the engine gave up: " + what);
}

}

void end_in_one_line(bool tracing) {
    is_tracing = tracing;
    ggml_set_abort_callback(engine_gave_up);
    std::set_terminate(nobody_catches);  // ggml's own, set before main, looks for a debugger
#if !defined(_WIN32)
    setenv("GGML_NO_BACKTRACE", "1", 1);  // for whatever else would look for one
#endif
}

void report_failure(const std::string & what) {
    const std::string line = plain(what);
    fprintf(stderr, "llamafile: %s\n", line.c_str());
    if (is_tracing) {
        std::string text;
        for (const char c : line) {
            text += c == '"' || c == '\\' ? '?' : c;
        }
        printf("{\"event\":\"error\",\"message\":\"%s\"}\n", text.c_str());
    }
}

int report_fault(const std::exception & error) {
    return report_of(error.what(), is_of_vulkan(error) || dynamic_cast<const gpu_failure *>(&error) != nullptr);
}

void blame_device(const std::string & what) {
    if (!gpu_name().empty()) {
        end(what);
    }
}

bool is_crash(int signal) {
    for (const int fatal : {
             SIGSEGV, SIGABRT, SIGILL, SIGFPE,
#if defined(SIGBUS)
             SIGBUS,
#endif
#if defined(SIGKILL)
             SIGKILL,
#endif
#if defined(SIGSYS)
             SIGSYS,
#endif
#if defined(SIGTRAP)
             SIGTRAP,
#endif
         }) {
        if (signal == fatal) {
            return true;
        }
    }
    return false;
}

std::string told_of(int signal) {
    switch (signal) {
#if defined(SIGBUS)
        case SIGBUS:  return "the model cannot be read any more: its file was shortened, or its disk failed";
#endif
#if defined(SIGKILL)
        case SIGKILL: return "the engine was killed: the system had not enough memory, or somebody ended it";
#endif
        case SIGSEGV: return "the engine crashed (segmentation fault)";
        case SIGABRT: return "the engine crashed (abort)";
        case SIGILL:  return "the engine crashed (illegal instruction)";
        case SIGFPE:  return "the engine crashed (arithmetic)";
        default:      return "the engine was ended by signal " + std::to_string(signal);
    }
}

}
