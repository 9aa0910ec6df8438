#include "outer.h"

#include "crash.h"
#include "inner.h"
#include "platform.h"

#include <cstdio>
#include <stdexcept>

#if !defined(_WIN32) && !defined(__wasi__)

#include "door.h"
#include "relay.h"
#include "told.h"
#include "watch.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lff {
namespace {

constexpr double PATIENCE  = 60;    // seconds that work may stand still (LFF_WATCHDOG); 0: for ever
constexpr double PARTING   = 5;     // seconds between the request to end and the end
constexpr double FIRST_GAP = 0.5;   // seconds before a new start, doubled each time
constexpr double LAST_GAP  = 32;
constexpr double RECOVERED = 60;    // seconds of answering after which the next gap is the first again
constexpr int    HOPELESS  = 6;     // starts in a row that never came to answer

double now() {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

double patience() {
    const std::string wanted = environment("LFF_WATCHDOG");
    char *            end    = nullptr;
    const double      found  = strtod(wanted.c_str(), &end);
    if (!wanted.empty() && (*end != '\0' || !(found >= 0))) {
        throw std::runtime_error("LFF_WATCHDOG is a number of seconds, not '" + wanted + "'");
    }
    return wanted.empty() ? PATIENCE : found;
}

// The outer process, from the first start of an inner one to the end of the last.
class outer {
public:
    explicit outer(const errand & given) : given(given), patient(patience()), judge(patient) { make_told(); }

    int run() {
        start();
        while (!ended) {
            wait();
            answer_signals();
            reap();
            if (serves()) {
                attend();
            }
            look_after();
        }
        return status;
    }

private:
    bool serves() const { return !given.listening.empty(); }
    bool is_down() const { return inner == 0; }

    void start() {
        judge.renew();
        forget_told();
        fflush(nullptr);
        const pid_t parent = getpid();
        inner = fork();
        if (inner < 0) {
            throw std::runtime_error("there is no room for another process");
        }
        if (inner == 0) {
            signals.leave();
            exit(run_inner(given, parent));
        }
        signals.follow(inner);
        began    = now();
        answers  = 0;
        visitor  = serves() ? std::make_unique<knock>(given.listening[0], given.prefix) : nullptr;
    }

    // Until something happens. What works is looked after once a second, unless it has all the time there is.
    void wait() {
        std::vector<struct pollfd> watched = { { signals.bell(), POLLIN, 0 } };
        for (const int fd : given.listening) {
            if (is_down()) {
                watched.push_back({ fd, POLLIN, 0 });
            }
        }
        const bool often = is_down() || asked_to_end || !porter.is_idle();
        const int  knocking = now() - began < 1 ? 10 : 100;
        poll(watched.data(), (nfds_t) watched.size(), !serves() && patient == 0 ? -1 : visitor ? knocking : serves() && often ? 50 : 1000);
    }

    void answer_signals() {
        for (int signal; (signal = signals.next()) != 0;) {
            if (is_down()) {
                end_as(signal);
            } else if (!serves() || !(signal == SIGINT || signal == SIGTERM || signal == SIGHUP)) {
                signals.pass(signal);
            } else if (asked_to_end != 0 || visitor) {
                end_as(signal);  // the second time, or before it could have finished anything: at once
                kill(inner, SIGKILL);
            } else {
                asked_to_end = signal;
                asked_at     = now();
                kill(inner, SIGTERM);
            }
        }
        if (asked_to_end != 0 && !is_down() && now() - asked_at > PARTING) {
            end_as(asked_to_end);
            kill(inner, SIGKILL);
        }
    }

    void reap() {
        int how = 0;
        if (is_down() || waitpid(inner, &how, WNOHANG) != inner) {
            return;
        }
        inner = 0;
        signals.follow(0);
        visitor.reset();
        if (is_gpus_fault(how)) {
            fall_back(how);
        } else if (WIFEXITED(how)) {
            ended  = true;
            status = WEXITSTATUS(how);
        } else if (last_signal != 0 || asked_to_end != 0 || !(serves() || is_crash(WTERMSIG(how)))) {
            end_as(last_signal != 0 ? last_signal : asked_to_end != 0 ? asked_to_end : WTERMSIG(how));
        } else {
            report_failure(stuck ? stood_still() : told_of(WTERMSIG(how)));
            if (!serves() || WTERMSIG(how) == SIGBUS || (answers == 0 && ++failures >= (once_answered ? HOPELESS : 1))) {
                ended  = true;
                status = 1;
            } else {
                gap      = answers > 0 && now() - answers > RECOVERED ? FIRST_GAP : std::min(gap * 2, LAST_GAP);
                start_at = now() + gap;
                fprintf(stderr, "llamafile: the engine is started again in %.1f s\n", gap);
            }
        }
        stuck = false;
    }

    std::string stood_still() const {
        const bool loading = judge.is_loading_stuck();
        return std::string(loading ? "loading" : "the engine") + " made no progress for " +
               std::to_string((int) (patient * (loading ? LOADING_PATIENCE : 1) + 0.5)) + " s and was ended";
    }

    bool is_gpus_fault(int how) const {
        const bool crashed = WIFSIGNALED(how) && is_crash(WTERMSIG(how)) && WTERMSIG(how) != SIGBUS && last_signal == 0 && asked_to_end == 0;
        return !given.gpu.off && (crashed || (WIFEXITED(how) && WEXITSTATUS(how) == GPU_FAILED));
    }

    // Once: from then on it is not a GPU's. What has begun to answer on standard output does not begin again.
    void fall_back(int how) {
        const bool begun = !serves() && told_begun();
        if (WIFSIGNALED(how)) {
            report_failure("the GPU failed (" + (stuck ? "no progress" : told_of(WTERMSIG(how))) + ")" + (begun ? "; LFF_GPU=off uses the CPU" : "; the CPU is used"));
        }
        given.gpu.off = true;
        if (begun) {
            ended  = true;
            status = 1;
        } else {
            start();
        }
    }

    // What a server needs beside signals: news, an answer for those who come while there is nobody, a new start.
    void attend() {
        porter.see_off(now());
        if (ended) {
            return;
        }
        if (is_down()) {
            for (const int fd : given.listening) {
                porter.turn_away(fd);
            }
            if (now() >= start_at) {
                start();
            }
        } else if (visitor && visitor->is_answered(now())) {
            announce();
        }
    }

    void look_after() {
        if (!is_down() && !stuck && judge.is_stuck(now())) {
            stuck = true;
            kill(inner, SIGKILL);
        }
    }

    void announce() {
        visitor.reset();
        answers  = now();
        failures = 0;
        const std::string address = address_of(given.listening[0]);
        if (!once_answered) {
            const std::string shut = given.sandboxed ? can_close().text() : "", device = told_device();
            const std::string time = given.seconds > 0 ? std::to_string(given.seconds) + " s" : "no limit of time";
            printf("llamafile: chat at %s (%sCtrl+C stops; a request has %s; %s)\n", address.c_str(), device.empty() ? "" : ("on " + device + "; ").c_str(),
                   time.c_str(), shut.empty() ? "no sandbox" : ("sandboxed: " + shut).c_str());
            fflush(stdout);
            if (given.browser) {
                open_in_browser(address);
            }
        }
        once_answered = true;
    }

    // The process will end as `signal` ends a process.
    void end_as(int signal) {
        last_signal = signal;
        if (is_down()) {
            ended  = true;
            status = -signal;
        }
    }

    errand         given;
    relay          signals;
    double         patient;
    watch          judge;
    porter         porter;
    std::unique_ptr<knock> visitor;  // until the inner process answers

    pid_t  inner = 0;  // 0: there is none
    bool   ended = false, stuck = false, once_answered = false;
    int    status = 0, asked_to_end = 0, last_signal = 0, failures = 0;
    double began = 0, answers = 0, asked_at = 0, start_at = 0, gap = FIRST_GAP / 2;
};

}

int run_errand(const errand & given) {
    int status = 0;
    {
        outer here(given);
        status = here.run();
    }
    fflush(nullptr);
    if (status < 0) {
        signal(-status, SIG_DFL);
        raise(-status);
        return 128 - status;
    }
    return status;
}

}

#else

namespace lff {

int run_errand(const errand & given) { return run_inner(given, 0); }

}

#endif

namespace lff {

std::string sandbox_line(const closed & shut) {
    const std::string closed = shut.text(), open = shut.missing();
    if (closed.empty()) {
        return "this system closes no sandbox: " + open + " stay open to the engine";
    }
    return "sandbox: " + closed + (open.empty() ? "" : "; not closed on this system: " + open);
}

}
