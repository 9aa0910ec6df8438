#include "machine.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <thread>

#if defined(__linux__)
#  include <sched.h>
#elif defined(__APPLE__)
#  include <sys/sysctl.h>
#endif
#if defined(_WIN32)
#  ifndef NOMINMAX
#    define NOMINMAX
#  endif
#  include <windows.h>
#elif !defined(__wasi__)
#  include <sys/resource.h>
#  include <unistd.h>
#endif

namespace lff {
namespace {

constexpr int64_t SMALL_MODEL = 64ll << 20;  // bytes: threads wait for each other longer than they compute

int offered() { return std::max(1, (int) std::thread::hardware_concurrency()); }

#if defined(__linux__)

std::string first_line(const std::string & path) {
    std::ifstream file(path);
    std::string   line;
    std::getline(file, line);
    return line;
}

// The smallest that `read` makes of the file `name` in this process's control group and those around it (version 2).
template <typename Read> int64_t least_of_groups(const char * name, Read read) {
    std::string   group;
    std::ifstream own("/proc/self/cgroup");
    for (std::string line; std::getline(own, line);) {
        group = line.compare(0, 3, "0::") == 0 ? line.substr(3) : group;
    }
    int64_t least = INT64_MAX;
    for (;;) {
        const std::string line = first_line("/sys/fs/cgroup" + group + "/" + name);
        if (!line.empty() && line.compare(0, 3, "max") != 0) {
            least = std::min<int64_t>(least, read(line));
        }
        if (group.empty() || group == "/") {
            return least;
        }
        group.erase(group.rfind('/'));
    }
}

int64_t whole_processors(const std::string & line) {  // QUOTA PERIOD, microseconds
    char *        rest   = nullptr;
    const int64_t quota  = strtoll(line.c_str(), &rest, 10);
    const int64_t period = strtoll(rest, nullptr, 10);
    return period <= 0 ? INT64_MAX : std::max<int64_t>(1, quota / period);
}

int physical() {
    std::set<std::string> found;
    cpu_set_t             allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        return offered();
    }
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &allowed)) {
            const std::string siblings = first_line("/sys/devices/system/cpu/cpu" + std::to_string(i) + "/topology/thread_siblings");
            found.insert(siblings.empty() ? std::to_string(i) : siblings);
        }
    }
    return (int) std::min<int64_t>((int64_t) found.size(), least_of_groups("cpu.max", whole_processors));
}

#elif defined(__APPLE__)

int physical() {
    int    found = 0;
    size_t size  = sizeof found;
    for (const char * name : { "hw.perflevel0.physicalcpu", "hw.physicalcpu" }) {
        if (sysctlbyname(name, &found, &size, nullptr, 0) == 0 && found > 0) {
            return found;
        }
    }
    return offered();
}

#else

int physical() { return offered() <= 4 ? offered() : offered() / 2; }

#endif

}

int cores() { return std::max(1, std::min(offered(), physical())); }

int64_t memory() {
#if defined(_WIN32)
    MEMORYSTATUSEX found = {};
    found.dwLength       = sizeof found;
    return GlobalMemoryStatusEx(&found) ? (int64_t) found.ullTotalPhys : 8ll << 30;
#elif defined(__wasi__)
    return 4ll << 30;
#else
    int64_t found = (int64_t) sysconf(_SC_PHYS_PAGES) * (int64_t) sysconf(_SC_PAGESIZE);
#  if defined(RLIMIT_AS)  // OpenBSD has none
    rlimit most = {};
    if (getrlimit(RLIMIT_AS, &most) == 0 && most.rlim_cur != RLIM_INFINITY) {
        found = std::min<int64_t>(found, (int64_t) most.rlim_cur);
    }
#  endif
#  if defined(__linux__)
    found = std::min(found, least_of_groups("memory.max", [](const std::string & line) { return strtoll(line.c_str(), nullptr, 10); }));
#  endif
    return found;
#endif
}

int threads_for(int64_t weights) { return weights > 0 && weights < SMALL_MODEL ? 1 : cores(); }

}
