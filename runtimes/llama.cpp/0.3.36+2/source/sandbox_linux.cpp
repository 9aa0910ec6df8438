// The sandbox on Linux: no new privileges, Landlock for files, and the filter of sandbox_calls.cpp for all else.
#include "sandbox.h"

#if defined(__linux__)

#include "sandbox_calls.h"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/landlock.h>

namespace lff {
namespace {

// What every process here reads of the machine: how many processors and how much memory there are, and chance.
const char * const MACHINE_FOLDERS[] = { "/sys/devices/system", "/sys/fs/cgroup", "/proc/self" };
const char * const MACHINE_FILES[]   = { "/proc/meminfo", "/proc/loadavg", "/proc/cpuinfo", "/proc/stat", "/dev/urandom", "/dev/random",
                                         "/dev/null", "/dev/zero" };

// What drivers of graphics processors read beside: which devices there are, and how to treat programs. Nodes of devices
// are written to by requests alone; what they can do is the kernel driver's to decide.
const char * const GPU_FOLDERS[] = { "/sys/class/drm", "/sys/dev/char", "/sys/devices", "/sys/bus/pci", "/sys/module/nvidia", "/proc/driver/nvidia",
                                     "/usr/share/vulkan", "/etc/vulkan", "/usr/share/drirc.d", "/usr/share/nvidia", "/usr/share/libdrm" };
const char * const GPU_NODES[]   = { "/dev/kfd", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-modeset" };
const char * const GPU_NODES_BELOW[] = { "/dev/dri", "/dev/nvidia-caps" };
constexpr int      GPU_NUMBERED  = 16;  // /dev/nvidia0 and so on

constexpr uint64_t READ_FILE  = LANDLOCK_ACCESS_FS_READ_FILE;
constexpr uint64_t READ_BELOW = READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;

// The newest version of the kernel's interface, 0 if it has none.
int landlock_version() {
    const long version = syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return version > 0 ? (int) version : 0;
}

// All accesses that a version knows are handled, so that what is not granted is denied.
uint64_t accesses(int version) {
    uint64_t known = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
    known |= version >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0;
    known |= version >= 3 ? LANDLOCK_ACCESS_FS_TRUNCATE : 0;
    known |= version >= 5 ? LANDLOCK_ACCESS_FS_IOCTL_DEV : 0;
    return known;
}

[[noreturn]] void refuse(const std::string & what) {
    throw std::runtime_error("the sandbox cannot be closed: " + what + ": " + strerror(errno));
}

struct ruleset {
    int      fd;
    uint64_t handled;

    void grant(int file, uint64_t access, const std::string & path) const {
        struct landlock_path_beneath_attr rule = {};
        rule.allowed_access = access & handled;
        rule.parent_fd      = file;
        // EBADFD: a pipe, which has no place among files; who has it open may use it.
        if (syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0 && errno != EBADFD) {
            refuse(path);
        }
    }

    // Grants access to what is at `path` now, whatever will be there later. False if there is nothing.
    bool grant(const std::string & path, uint64_t access) const {
        const int file = open(path.c_str(), O_PATH | O_CLOEXEC);
        if (file < 0) {
            return false;
        }
        grant(file, access, path);
        close(file);
        return true;
    }
};

void grant_gpu(const ruleset & rules, bool relaxed) {
    const uint64_t use = READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_IOCTL_DEV;
    for (const char * path : GPU_FOLDERS) {
        rules.grant(path, READ_BELOW);
    }
    for (const char * path : GPU_NODES) {
        rules.grant(path, use);
    }
    for (const char * path : GPU_NODES_BELOW) {
        rules.grant(path, use | READ_BELOW);
    }
    for (int i = 0; i < GPU_NUMBERED; i++) {
        rules.grant("/dev/nvidia" + std::to_string(i), use);
    }
    for (const char * path : { "/usr", "/lib", "/lib64", "/etc" }) {
        if (relaxed) {
            rules.grant(path, READ_BELOW);
        }
    }
}

void grant_all(const ruleset & rules, const grants & granted) {
    if (granted.gpu) {
        grant_gpu(rules, granted.relaxed);
    }
    const uint64_t write = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE | READ_FILE;
    for (const char * path : MACHINE_FOLDERS) {
        rules.grant(path, READ_BELOW);
    }
    for (const char * path : MACHINE_FILES) {
        rules.grant(path, READ_FILE);
    }
    for (const std::string & path : granted.read) {
        rules.grant(path, READ_FILE);
    }
    for (const std::string & path : granted.read_below) {
        rules.grant(path, READ_BELOW);
    }
    for (const std::string & path : granted.write) {
        if (!rules.grant(path, write)) {
            refuse(path);
        }
    }
    for (const std::string & path : granted.write_below) {
        if (!rules.grant(path, write | READ_BELOW | LANDLOCK_ACCESS_FS_MAKE_REG)) {
            refuse(path);
        }
    }
}

// A file to be written must be there when access is granted: who may make one file in a folder may make any.
void make_missing(const grants & granted) {
    for (const std::string & path : granted.write) {
        const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
        if (file < 0) {
            throw std::runtime_error("cannot write " + path + ": " + strerror(errno));
        }
        close(file);
    }
}

void close_files(int version, const grants & granted) {
    struct landlock_ruleset_attr wanted = {};
    wanted.handled_access_fs  = accesses(version);
    wanted.handled_access_net = version >= 4 ? LANDLOCK_ACCESS_NET_BIND_TCP | LANDLOCK_ACCESS_NET_CONNECT_TCP : 0;
    wanted.scoped             = version >= 6 ? LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL : 0;
    // Kernels refuse a structure that is longer than theirs, unless its end is zero.
    const long fd = syscall(SYS_landlock_create_ruleset, &wanted, sizeof wanted, 0);
    if (fd < 0) {
        refuse("Landlock");
    }
    grant_all({ (int) fd, wanted.handled_access_fs }, granted);
    if (syscall(SYS_landlock_restrict_self, (int) fd, 0) != 0) {
        refuse("Landlock");
    }
    close((int) fd);
}

bool is_alone() {
    struct stat tasks;
    return stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink == 3;  // itself, its parent, and one thread
}

// What a caller left open is not for the engine. In ranges between those that stay: two or three calls.
void close_descriptors(const std::vector<int> & kept) {
    for (unsigned first = 3;;) {
        unsigned next = ~0u;
        for (const int fd : kept) {
            next = fd >= (int) first && (unsigned) fd < next ? (unsigned) fd : next;
        }
        if (next > first) {
            syscall(SYS_close_range, first, next - 1, 0);
        }
        if (next == ~0u) {
            return;
        }
        first = next + 1;
    }
}

}

closed can_close() {
    closed found;
    const int version = landlock_version();
    found.privileges  = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) >= 0;
    found.files       = version > 0;
    found.files_by    = "Landlock " + std::to_string(version);
    found.calls       = can_filter_calls();
    found.calls_by    = "seccomp";
    return found;
}

void close_others(const grants & granted) { close_descriptors(granted.descriptors); }

closed close_sandbox(const grants & granted) {
    const closed offered = can_close();
    if (granted.gpu && !granted.relaxed && granted.writes() && !is_alone()) {
        throw std::runtime_error("the driver of the GPU has threads of its own, and they could write what you named");
    }
    make_missing(granted);
    if (!granted.gpu) {
        close_others(granted);
    }
    const struct rlimit none = { 0, 0 };
    setrlimit(RLIMIT_CORE, &none);  // a crash leaves one line, not the weights on the disk
    if (offered.privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        refuse("no_new_privs");
    }
    if (offered.files) {
        close_files(landlock_version(), granted);
    }
    if (offered.calls) {
        filter_calls({ granted.writes(), granted.gpu, granted.relaxed });
    }
    return offered;
}

}

#endif
