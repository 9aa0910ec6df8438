#include "inner.h"

#include "crash.h"
#include "told.h"

#include <cstdio>
#include <cstdlib>
#include <new>
#include <stdexcept>

#if defined(__linux__)
#  include <csignal>
#  include <sys/prctl.h>
#  include <unistd.h>
#endif
#if !defined(_WIN32) && !defined(__wasi__)
#  include <ctime>
#endif

namespace lff {
namespace {

// Ends with the outer process, however that ends.
void end_with(int parent) {
#if defined(__linux__)
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (parent != 0 && getppid() != parent) {
        _exit(1);
    }
#else
    (void) parent;
#endif
}

// Drivers are libraries of the system, and may make code: they are loaded, and their devices opened, while that is allowed.
void load_drivers(const errand & given, grants & granted) {
    gpu_wish wish = given.gpu;
    if (!wish.off && !wish.named() && granted.writes()) {
        fprintf(stderr, "llamafile: files are to be written, and a driver's threads could write them too: the CPU is used\n");
        wish.off = true;
    }
    if (wish.off) {
        close_gpu();
        return;
    }
    close_others(granted);
    if (!open_gpu(wish)) {
        throw gpu_failure("there is no such device any more");
    }
    granted.gpu     = true;
    granted.relaxed = wish.named();
    tell_device(gpu_name());
}

void shut_in(const errand & given) {
#if !defined(_WIN32) && !defined(__wasi__)
    tzset();  // reads the system's file now: later it is closed
#endif
    grants granted = given.granted;
    granted.descriptors.insert(granted.descriptors.end(), given.listening.begin(), given.listening.end());
    load_drivers(given, granted);
    const closed shut = given.sandboxed ? close_sandbox(granted) : closed();
    if (given.required && !shut.everything()) {
        throw std::runtime_error(sandbox_line(shut) + "; LFF_SANDBOX=require wants all of it");
    }
    if (given.sandboxed && !shut.everything()) {
        fprintf(stderr, "llamafile: %s\n", sandbox_line(shut).c_str());
    }
}

}

int run_inner(const errand & given, int parent) {
    int status = 1;
    try {
        end_with(parent);
        shut_in(given);
        status = given.work();
    } catch (const std::bad_alloc &) {
        report_failure("there is not enough memory");
    } catch (const std::exception & error) {
        status = report_fault(error);
    }
    fflush(stdout);
    if (!given.gpu.off) {
        _Exit(status);  // drivers take badly to being unloaded while their threads run
    }
    return status;
}

}
