// An allow-list: calls that a later kernel brings are closed before anybody knows what they do. Where an argument decides
// whether a call is harmless, it is compared; what it points to cannot be, so calls for which that matters are left out.
#include "sandbox_calls.h"

#if defined(__linux__)

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <sched.h>
#include <stdexcept>
#include <string>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>

namespace lff {
namespace {

#if defined(__x86_64__)
constexpr uint32_t ARCHITECTURE = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t ARCHITECTURE = AUDIT_ARCH_AARCH64;
#elif defined(__riscv) && __riscv_xlen == 64
constexpr uint32_t ARCHITECTURE = AUDIT_ARCH_RISCV64;
#else
#  error "the numbers of this processor's system calls are not known"
#endif

// Calls without danger, whatever their arguments: they work on what the process has, or ask about it.
constexpr int HARMLESS[] = {
    // what is open
    SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_preadv, SYS_pwritev, SYS_lseek, SYS_close, SYS_close_range,
    SYS_dup, SYS_dup3, SYS_pipe2, SYS_eventfd2, SYS_fstat, SYS_fstatfs, SYS_statfs, SYS_fadvise64, SYS_readahead, SYS_getdents64,
    SYS_ppoll, SYS_pselect6, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_fsync, SYS_fdatasync, SYS_flock,
    // names of files: what they are, not what is in them
    SYS_newfstatat, SYS_statx, SYS_faccessat, SYS_faccessat2, SYS_readlinkat, SYS_getcwd,
    // connections that were accepted
    SYS_accept, SYS_accept4, SYS_listen, SYS_recvfrom, SYS_recvmsg, SYS_shutdown, SYS_getsockname, SYS_getpeername, SYS_getsockopt,
    // memory
    SYS_brk, SYS_munmap, SYS_mremap, SYS_madvise, SYS_mincore, SYS_mlock, SYS_mlock2, SYS_munlock, SYS_mlockall, SYS_munlockall, SYS_msync,
    // threads and time
    SYS_futex, SYS_set_robust_list, SYS_get_robust_list, SYS_set_tid_address, SYS_rseq, SYS_membarrier, SYS_sched_yield, SYS_sched_getaffinity,
    SYS_sched_setaffinity, SYS_sched_getparam, SYS_sched_getscheduler, SYS_sched_get_priority_max, SYS_sched_get_priority_min, SYS_getcpu,
    SYS_exit, SYS_exit_group, SYS_restart_syscall, SYS_nanosleep, SYS_clock_nanosleep, SYS_clock_gettime, SYS_clock_getres, SYS_gettimeofday,
    SYS_times, SYS_getrusage, SYS_sysinfo, SYS_uname, SYS_getrandom,
    // itself
    SYS_getpid, SYS_getppid, SYS_gettid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_getgroups, SYS_getpriority, SYS_umask,
    SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigpending, SYS_rt_sigsuspend, SYS_rt_sigtimedwait, SYS_sigaltstack,
#if defined(__x86_64__)
    // what newer processors have other calls for
    SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_poll, SYS_select, SYS_pipe, SYS_dup2, SYS_epoll_create, SYS_epoll_wait, SYS_getdents,
    SYS_time, SYS_pause, SYS_getrlimit, SYS_arch_prctl,
#endif
#if defined(__aarch64__)
    SYS_getrlimit,
#endif
#if defined(__riscv)
    SYS_riscv_flush_icache, 258,  // riscv_hwprobe, which the C library does not know yet
#endif
};

// Flags by which an open file can be changed, or made.
constexpr uint32_t CHANGING = O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY);
// A thread, and none of the flags that would make a process or a world of its own.
constexpr uint32_t NEW_WORLDS = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

constexpr uint32_t DENY = SECCOMP_RET_ERRNO | EPERM;

constexpr uint32_t low_half(int argument) { return offsetof(struct seccomp_data, args) + 8u * (uint32_t) argument; }  // little endian
constexpr uint32_t high_half(int argument) { return low_half(argument) + 4; }

class filter {
public:
    filter() {
        load(offsetof(struct seccomp_data, arch));
        add(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
        answer(DENY);  // the calls of another architecture, by which a processor can run the same program
        load(offsetof(struct seccomp_data, nr));
    }

    void allow(int call) {
        add(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t) call, 0, 1);
        answer(SECCOMP_RET_ALLOW);
    }

    void refuse(int call, int error) {
        add(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t) call, 0, 1);
        answer(SECCOMP_RET_ERRNO | (uint32_t) error);
    }

    // If the bits of `mask` in the argument are `value`. Flags have 32 bits: the kernel looks at no more of them.
    void allow_if(int call, int argument, uint32_t mask, uint32_t value) {
        add(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t) call, 0, 5);
        load(low_half(argument));
        add(BPF_ALU | BPF_AND | BPF_K, mask);
        add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
        answer(SECCOMP_RET_ALLOW);
        answer(DENY);
    }

    void allow_if_one_of(int call, int argument, const std::vector<uint32_t> & values, const std::vector<uint32_t> & kinds = {}) {
        add(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t) call, 0, (uint8_t) (2 * values.size() + 2 + (kinds.empty() ? 0 : 2 * kinds.size() + 1)));
        load(low_half(argument));
        for (const uint32_t value : values) {
            add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
            answer(SECCOMP_RET_ALLOW);
        }
        if (!kinds.empty()) {
            add(BPF_ALU | BPF_AND | BPF_K, 0xFF00);  // of a request: whose it is
        }
        for (const uint32_t kind : kinds) {
            add(BPF_JMP | BPF_JEQ | BPF_K, kind << 8, 0, 1);
            answer(SECCOMP_RET_ALLOW);
        }
        answer(DENY);
    }

    void allow_if_null(int call, int argument) {
        add(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t) call, 0, 6);
        load(low_half(argument));
        add(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3);
        load(high_half(argument));
        add(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1);
        answer(SECCOMP_RET_ALLOW);
        answer(DENY);
    }

    void install() {
        answer(DENY);
        struct sock_fprog program = { (unsigned short) instructions.size(), instructions.data() };
        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0) {
            throw std::runtime_error(std::string("the sandbox cannot be closed: seccomp: ") + strerror(errno));
        }
    }

private:
    void load(uint32_t offset) { add(BPF_LD | BPF_W | BPF_ABS, offset); }
    void answer(uint32_t result) { add(BPF_RET | BPF_K, result); }
    void add(uint16_t code, uint32_t k, uint8_t yes = 0, uint8_t no = 0) { instructions.push_back({ code, yes, no, k }); }

    std::vector<struct sock_filter> instructions;
};

void allow_files(filter & calls, bool writing, const std::vector<uint32_t> & devices, bool nodes) {
    const auto reading_only = [&](int call, int flags) {
        if (writing) {
            calls.allow(call);
        } else if (nodes) {
            calls.allow_if(call, flags, CHANGING & ~O_ACCMODE, 0);  // what is there; Landlock leaves nodes alone to be written
        } else {
            calls.allow_if(call, flags, CHANGING, O_RDONLY);
        }
    };
    reading_only(SYS_openat, 2);
#if defined(SYS_open)
    reading_only(SYS_open, 1);
#endif
    // No TIOCSTI, by which a program types into its user's terminal, and no other request that changes anything but the stream.
    calls.allow_if_one_of(SYS_ioctl, 1, { TIOCGWINSZ, TCGETS, FIONREAD, FIONBIO, FIOCLEX }, devices);
    // No F_SETOWN, which sends signals to others.
    calls.allow_if_one_of(SYS_fcntl, 1, { F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_SETLK, F_SETLKW, F_GETLK });
}

void allow_threads(filter & calls, bool relaxed) {
    const uint32_t itself = (uint32_t) getpid();
    calls.allow_if(SYS_clone, 0, CLONE_THREAD | NEW_WORLDS, CLONE_THREAD);
    calls.refuse(SYS_clone3, ENOSYS);  // its flags cannot be looked at; C libraries know the other one too
    if (relaxed) {
        calls.allow(SYS_mmap);
        calls.allow(SYS_mprotect);
    } else {
        calls.allow_if(SYS_mmap, 2, PROT_EXEC, 0);
        calls.allow_if(SYS_mprotect, 2, PROT_EXEC, 0);
    }
    calls.allow_if_one_of(SYS_prctl, 0, { PR_SET_NAME, PR_GET_NAME });
    calls.allow_if_one_of(SYS_prlimit64, 0, { 0, itself });
    calls.allow_if_one_of(SYS_setpriority, 1, { 0 });
    calls.allow_if_one_of(SYS_kill, 0, { itself });
    calls.allow_if_one_of(SYS_tgkill, 0, { itself });
}

void allow_answers(filter & calls) {
    calls.allow_if_null(SYS_sendto, 4);  // on a connection; with an address it could open one, and so could sendmsg
    calls.allow_if_one_of(SYS_setsockopt, 1, { SOL_SOCKET, IPPROTO_TCP, IPPROTO_IPV6 });
}

}

bool can_filter_calls() {
    const uint32_t action = SECCOMP_RET_ERRNO;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

void filter_calls(const allowed_calls & wanted) {
    filter calls;
    for (const int call : HARMLESS) {
        calls.allow(call);
    }
    // Requests of the kernel's display drivers ('d', and 'b' for buffers that they share), of NVIDIA's ('F', and 0 for its
    // memory) and of AMD's for computing ('K').
    allow_files(calls, wanted.writing, wanted.gpu ? std::vector<uint32_t>{ 'd', 'b', 'F', 0, 'K' } : std::vector<uint32_t>{}, wanted.relaxed);
    allow_threads(calls, wanted.relaxed);
    if (wanted.gpu) {
        for (const int call : { SYS_memfd_create, SYS_ftruncate, SYS_fallocate, SYS_kcmp }) {
            calls.allow(call);  // memory that has a descriptor
        }
    }
    allow_answers(calls);
    calls.install();
}

}

#endif
