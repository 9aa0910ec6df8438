#include "relay.h"

#if !defined(_WIN32) && !defined(__wasi__)

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace lff {
namespace {

constexpr int TAKEN[] = { SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT };

int                   ends[2] = { -1, -1 };
volatile sig_atomic_t followed = 0;
struct sigaction      before[sizeof TAKEN / sizeof *TAKEN];

void ring(int signal) {
    const int     saved = errno;
    const char    byte  = (char) signal;
    const ssize_t sent  = write(ends[1], &byte, 1);
    (void) sent;
    errno = saved;
}

}

// A signal that was ignored when this program was started (nohup, a shell's background) stays ignored, by both processes.
relay::relay() {
    if (pipe(ends) == 0) {
        for (const int end : ends) {
            fcntl(end, F_SETFD, FD_CLOEXEC);
            fcntl(end, F_SETFL, O_NONBLOCK);
        }
    }
    for (size_t i = 0; i < sizeof TAKEN / sizeof *TAKEN; i++) {
        struct sigaction wanted = {};
        wanted.sa_handler = ring;
        wanted.sa_flags   = SA_RESTART;
        sigaction(TAKEN[i], nullptr, &before[i]);
        if (before[i].sa_handler != SIG_IGN || TAKEN[i] == SIGCHLD) {
            sigaction(TAKEN[i], &wanted, nullptr);
        }
    }
}

int relay::bell() const { return ends[0]; }

int relay::next() {
    for (char byte; read(ends[0], &byte, 1) == 1;) {
        if (byte == SIGTSTP) {
            pass(SIGTSTP);
            raise(SIGSTOP);  // goes on when somebody says so
            pass(SIGCONT);
        } else if (byte == SIGCONT) {
            pass(SIGCONT);
        } else if (byte != SIGCHLD) {
            return byte;
        }
    }
    return 0;
}

void relay::follow(pid_t inner) {
    followed = inner;
}

void relay::pass(int signal) {
    if (followed != 0) {
        kill((pid_t) followed, signal);
    }
}

void relay::leave() {
    for (size_t i = 0; i < sizeof TAKEN / sizeof *TAKEN; i++) {
        sigaction(TAKEN[i], &before[i], nullptr);
    }
    for (int & end : ends) {
        close(end);
        end = -1;
    }
}

}

#endif
