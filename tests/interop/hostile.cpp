// A hostile program in the runtime's own sandbox: it closes it with the very sources of the runtime, then tries what a
// model that has taken over the engine would try. One line for each attempt: NAME and `denied ERRNO`, or `DONE`.
//
//   hostile attack GRANTED SECRET BUILD VERDICT PORT   all of the sandbox; GRANTED is a file that it may read
//   hostile calls GRANTED SECRET BUILD VERDICT PORT    only the filter of system calls, as on a kernel without Landlock
//   hostile write FILE FOLDER OTHER                    what the user named to be written, and what not
//   hostile time COUNT                                 median of the microseconds that a fork costs, without and with

#include "sandbox.h"
#include "sandbox_calls.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <functional>
#include <netinet/in.h>
#include <sched.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

void report(const char * name, long result) {
    if (result == -1) {
        printf("%s denied %s\n", name, errno == EPERM ? "EPERM" : errno == EACCES ? "EACCES" : strerror(errno));
    } else {
        printf("%s DONE\n", name);
    }
    fflush(stdout);
}

long opened(const std::string & path, int flags) {
    const int fd = open(path.c_str(), flags, 0644);
    if (fd >= 0) {
        close(fd);
    }
    return fd;
}

void against_files(const std::string & granted, const std::string & secret, const std::string & build, const std::string & verdict) {
    report("make-beside", opened(granted + ".planted", O_WRONLY | O_CREAT));
    report("make-in-tmp", opened("/tmp/hostile.planted", O_WRONLY | O_CREAT));
    report("write-container", opened(granted, O_WRONLY));
    for (const auto & target : { std::make_pair("build", build), std::make_pair("verdict", verdict) }) {
        const std::string what = target.first, path = target.second;
        report(("write-" + what).c_str(), opened(path, O_WRONLY));
        report(("truncate-" + what).c_str(), truncate(path.c_str(), 0));
        report(("replace-" + what).c_str(), rename(granted.c_str(), path.c_str()));
        report(("remove-" + what).c_str(), unlink(path.c_str()));
        report(("chmod-" + what).c_str(), chmod(path.c_str(), 0777));
        report(("link-" + what).c_str(), link(path.c_str(), (path + ".link").c_str()));
    }
    report("symlink", symlink(build.c_str(), (granted + ".symlink").c_str()));
    report("mkdir", mkdir((granted + ".folder").c_str(), 0755));
    report("write-beneath-open-tmpfile", opened("/tmp", O_TMPFILE | O_RDWR));
    report("read-secret", opened(secret, O_RDONLY));
}

void against_processes() {
    char * const none[] = { nullptr };
    char         memory[16];
    struct iovec here = { memory, sizeof memory }, there = { (void *) &report, sizeof memory };
    const pid_t  parent = getppid();
    report("exec", execve("/bin/true", none, none));
    report("execveat", syscall(SYS_execveat, AT_FDCWD, "/bin/true", none, none, 0));
    report("fork", [] {
        const pid_t child = fork();
        if (child == 0) {
            _exit(0);
        }
        return (long) child;
    }());
    report("unshare", unshare(CLONE_NEWUSER));
    report("ptrace", ptrace(PTRACE_ATTACH, parent, nullptr, nullptr));
    report("ptrace-me", ptrace(PTRACE_TRACEME, 0, nullptr, nullptr));
    report("read-memory", process_vm_readv(parent, &here, 1, &there, 1, 0));
    report("write-memory", process_vm_writev(parent, &here, 1, &there, 1, 0));
    report("write-memory-by-file", opened("/proc/" + std::to_string(parent) + "/mem", O_RDWR));
    report("signal", kill(parent, 0));
    report("signal-thread", syscall(SYS_tkill, parent, 0));
    report("run-written-memory", mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
    report("type-into-the-terminal", ioctl(0, TIOCSTI, "x"));
    report("be-traced-by-anybody", prctl(PR_SET_PTRACER, -1, 0, 0, 0));
}

void against_networks(int port) {
    struct sockaddr_in address = {};
    address.sin_family      = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port        = htons((uint16_t) port);
    struct msghdr message = {};
    report("socket", socket(AF_INET, SOCK_STREAM, 0));
    report("udp-socket", socket(AF_INET, SOCK_DGRAM, 0));
    report("unix-socket", socket(AF_UNIX, SOCK_STREAM, 0));
    report("netlink-socket", socket(AF_NETLINK, SOCK_RAW, 0));
    // Descriptor 9 is a socket that was made before: what an accepted connection is.
    report("connect", connect(9, (struct sockaddr *) &address, sizeof address));
    report("bind", bind(9, (struct sockaddr *) &address, sizeof address));
    report("send-to-an-address", sendto(9, "x", 1, MSG_FASTOPEN, (struct sockaddr *) &address, sizeof address));
    message.msg_name    = &address;
    message.msg_namelen = sizeof address;
    report("send-message", sendmsg(9, &message, MSG_FASTOPEN));
}

void against_the_kernel() {
    const struct {
        const char * name;
        long         number;
    } calls[] = { { "bpf", SYS_bpf }, { "keyctl", SYS_keyctl }, { "mount", SYS_mount }, { "io_uring", SYS_io_uring_setup },
                  { "userfaultfd", SYS_userfaultfd }, { "perf", SYS_perf_event_open }, { "memfd", SYS_memfd_create }, { "setuid", SYS_setuid },
                  { "chroot", SYS_chroot }, { "pidfd", SYS_pidfd_open }, { "modules", SYS_init_module }, { "seccomp", SYS_seccomp } };
    for (const auto & call : calls) {
        report(call.name, syscall(call.number, 0, 0, 0, 0, 0, 0));
    }
}

void what_must_work(const std::string & granted) {
    char bytes[4];
    report("may-read-granted", opened(granted, O_RDONLY));
    report("may-start-threads", [] {
        std::thread([] {}).join();
        return 0L;
    }());
    report("may-get-chance", syscall(SYS_getrandom, bytes, sizeof bytes, 0));
    report("may-read-processors", opened("/sys/devices/system/cpu/online", O_RDONLY));
}

void make_socket_nine() {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    dup2(fd, 9);
}

int attack(char ** argv, bool all) {
    make_socket_nine();
    if (all) {
        lff::grants granted;
        granted.read        = { argv[2] };
        granted.descriptors = { 9 };
        const lff::closed shut = lff::close_sandbox(granted);
        printf("closed %s\n", shut.everything() ? "everything" : shut.missing().c_str());
    } else {
        lff::filter_calls({});
    }
    against_files(argv[2], argv[3], argv[4], argv[5]);
    against_processes();
    against_networks(atoi(argv[6]));
    against_the_kernel();
    what_must_work(argv[2]);
    return 0;
}

int write_named(char ** argv) {
    lff::grants granted;
    granted.write       = { argv[2] };
    granted.write_below = { argv[3] };
    lff::close_sandbox(granted);
    report("may-write-named", opened(argv[2], O_WRONLY | O_CREAT | O_TRUNC));
    report("may-make-in-named-folder", opened(std::string(argv[3]) + "/slot", O_WRONLY | O_CREAT | O_TRUNC));
    report("make-beside-named", opened(std::string(argv[2]) + ".other", O_WRONLY | O_CREAT));
    report("write-other", opened(argv[4], O_WRONLY));
    report("remove-named", unlink(argv[2]));
    return 0;
}

// Microseconds of one fork whose child runs `child`, to its end.
double fork_time(const std::function<void()> & child) {
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    const pid_t pid = fork();
    if (pid == 0) {
        child();
        _exit(0);
    }
    waitpid(pid, nullptr, 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (double) (end.tv_sec - begin.tv_sec) * 1e6 + (double) (end.tv_nsec - begin.tv_nsec) / 1e3;
}

double median(int count, const std::function<void()> & child) {
    std::vector<double> times;
    for (int i = 0; i < count; i++) {
        times.push_back(fork_time(child));
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

int measure(int count) {
    lff::grants granted;
    granted.read = { "/proc/self/exe" };
    const double without = median(count, [] {});
    const double with    = median(count, [&] { lff::close_sandbox(granted); });
    printf("%.0f %.0f\n", without, with);
    return 0;
}

}

int main(int argc, char ** argv) {
    const std::string what = argc > 1 ? argv[1] : "";
    if ((what == "attack" || what == "calls") && argc == 7) {
        return attack(argv, what == "attack");
    }
    return what == "write" && argc == 5 ? write_named(argv) : what == "time" && argc == 3 ? measure(atoi(argv[2])) : 2;
}
