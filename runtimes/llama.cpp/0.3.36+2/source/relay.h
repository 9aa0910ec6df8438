// Signals of the outer process: it takes them one by one, outside of handlers, and passes them on.
#pragma once

#if !defined(_WIN32) && !defined(__wasi__)

#include <csignal>
#include <sys/types.h>

namespace lff {

class relay {
public:
    relay();
    ~relay() { leave(); }
    relay(const relay &) = delete;
    relay & operator=(const relay &) = delete;

    int  bell() const;         // becomes readable when a signal has arrived
    int  next();               // the next signal to deal with, 0 if there is none; SIGCHLD only rings
    void follow(pid_t inner);  // from here on, stopping and going on go to this process too; 0: none
    void pass(int signal);     // to the process that is followed
    void leave();              // in the inner process: signals do again what they did before
};

}

#endif
