#include "serve.h"

#include "capacity.h"
#include "crash.h"
#include "fits.h"
#include "guard.h"
#include "loading.h"
#include "openai.h"
#include "platform.h"
#include "session.h"
#include "text.h"
#undef Server

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

#if !defined(_WIN32)
#  include <csignal>
#  include <unistd.h>
#endif

int llama_server(int argc, char ** argv);  // upstream's tools/server

namespace lff {

int request_seconds = 600;

namespace {

// Options by which the engine would fetch something from a network.
const std::vector<std::string> FETCHING = {
    "-hf", "-hfr", "--hf-repo", "-hfd", "-hfrd", "--hf-repo-draft", "-hff", "--hf-file", "-hfv", "-hfrv", "--hf-repo-v", "-hffv",
    "--hf-file-v", "-mu", "--model-url", "-mmu", "--mmproj-url", "-dr", "--docker-repo", "--spec-draft-hf", "--ui-mcp-proxy",
    "--webui-mcp-proxy",
};

constexpr std::chrono::seconds PARTING(3);  // for the engine's loop to end by itself; it has nothing to lose

void add(std::vector<std::string> & to, const std::vector<std::string> & user, const std::vector<std::string> & names, const std::string & value) {
    if (!value.empty() && !given(user, names)) {
        to.push_back(names.back());
        to.push_back(value);
    }
}

std::vector<std::string> server_arguments(const contents & found, const std::vector<std::string> & user) {
    std::vector<std::string> out = { "llamafile", "--offline" };
    const std::vector<std::string> unnamed = unnamed_models(found, user);
    out.insert(out.end(), unnamed.begin(), unnamed.end());
    const std::string model = found.name.empty() ? found.weights.substr(found.weights.rfind('/') + 1) : found.name;
    add(out, user, { "-a", "--alias" }, model);
    add(out, user, { "--host" }, "127.0.0.1");
    add(out, user, { "--port" }, "0");
    add(out, user, { "--cors-origins" }, "localhost");
    add(out, user, { "-v", "--verbose", "--log-verbose", "-lv", "--verbosity", "--log-verbosity" }, "1");
    out.insert(out.end(), user.begin(), user.end());
    return out;
}

// Waits until the server answers, tells where, and opens a browser if somebody is there to see it.
void announce(const std::string & host, bool browser, const std::atomic<bool> & stopped) {
    const bool        everywhere = host == "0.0.0.0" || host == "::" || host.empty();
    const std::string reached    = everywhere ? "127.0.0.1" : host;
    for (int tries = 0; !stopped; tries++) {
        std::this_thread::sleep_for(std::chrono::milliseconds(tries < 50 ? 10 : 200));
        if (bound_port() == 0) {
            continue;
        }
        httplib::Client client(reached, bound_port());
        client.set_connection_timeout(1);
        client.set_read_timeout(2);
        const auto answer = client.Get("/health");
        if (answer && answer->status == 200) {
            client.Get("/slots");  // answered by the loop that a signal ends; one that comes before the loop is lost
            const std::string shown   = reached.find(':') == std::string::npos ? reached : "[" + reached + "]";
            const std::string address = "http://" + shown + ":" + std::to_string(bound_port()) + "/";
            printf("llamafile: chat at %s (Ctrl+C stops)\n", address.c_str());
            fflush(stdout);
            if (browser) {
                open_in_browser(address);
            }
            return;
        }
    }
}

// Upstream's handler of interrupts takes the mutex of its queue. Run on the thread that takes the same mutex for every
// token, it would sooner or later wait for itself, and the server for ever. So from here on this thread, and all that it
// starts, leave interrupts to one that holds nothing and does nothing else. It calls the handler once: the terminal and the
// outer process may both tell of the same interrupt, and the second time upstream drops everything.
void leave_interrupts_to_a_thread_of_their_own() {
#if !defined(_WIN32)
    static sigset_t interrupts;
    sigemptyset(&interrupts);
    sigaddset(&interrupts, SIGINT);
    sigaddset(&interrupts, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &interrupts, nullptr);
    std::thread([] {
        int              signal = 0;
        struct sigaction installed;
        while (sigwait(&interrupts, &signal) != 0 || signal != SIGTERM) {
        }
        if (sigaction(SIGTERM, nullptr, &installed) != 0 || installed.sa_handler == SIG_DFL || installed.sa_handler == SIG_IGN) {
            _exit(0);  // nothing has begun
        }
        installed.sa_handler(SIGTERM);
        std::this_thread::sleep_for(PARTING);  // what is computed now is computed to its end
        _exit(0);
    }).detach();
#endif
}

}

bool wants_browser(const std::vector<std::string> & arguments) {
    return !given(arguments, { "--no-browser" }) && has_desktop();
}

int seconds_of(const std::vector<std::string> & arguments) {
    const std::string limit = option(arguments, { "--request-timeout" });
    return limit.empty() ? request_seconds : atoi(limit.c_str());
}

std::vector<int> listen_for(const std::vector<std::string> & arguments) {
    const std::string        named = option(arguments, { "--host" });
    std::vector<std::string> hosts;
    for (size_t at = 0; at < named.size();) {
        const size_t end = std::min(named.find(',', at), named.size());
        hosts.push_back(named.substr(at, end - at));
        at = end + 1;
    }
    return open_doors(hosts.empty() ? std::vector<std::string>{ "127.0.0.1" } : hosts, atoi(option(arguments, { "--port" }).c_str()));
}

int serve(const contents & found, std::vector<std::string> user, bool fewer_threads) {
    watch_loading();
    if (const std::string fetching = spelled(user, FETCHING); !fetching.empty()) {
        throw failure(shown(fetching) + " would fetch something: a container is run with what is in it");
    }
    const bool browser = wants_browser(user);
    take(user, "--no-browser");
    if (take(user, "--server-help")) {
        user.push_back("--help");
    }
    const std::string host = option(user, { "--host" });
    own_hosts = { host, option(user, { "--allow-host" }), given(user, { "--cors-origins" }) };
    instructions = option(user, { "--system-prompt" });

    request_seconds = seconds_of(user);
    for (const char * own : { "--allow-host", "--system-prompt", "--request-timeout" }) {
        take(user, own);  // upstream does not know it
    }
    llama_log_set([](enum ggml_log_level, const char *, void *) { engine_heartbeat(); }, nullptr);  // what is looked at now is loaded later, and told of then
    const chosen_models chosen = choose_models(found, user);
    check_tokenizer(chosen.model);
    check_adapters(chosen.model, chosen.adapters);
    allow(MAX_TEMPLATE_WORK);  // the model's template is tried out when it is loaded
    std::vector<std::string> arguments = server_arguments(found, user);
    const std::string        named     = option(arguments, { "-m", "--model" });
    for (const std::string & argument : capacity_arguments(named, user, fewer_threads)) {
        arguments.push_back(argument);
    }
    for (const std::string & argument : door_arguments()) {
        arguments.push_back(argument);
    }
    std::vector<char *>      pointers;
    for (std::string & argument : arguments) {
        pointers.push_back(&argument[0]);
    }
    pointers.push_back(nullptr);

    std::atomic<bool> stopped{ false };
    std::thread       announcer;
    if (door_arguments().empty()) {  // there is no outer process that announces it
        announcer = std::thread(announce, host.empty() ? "127.0.0.1" : host, browser, std::cref(stopped));
    }
    leave_interrupts_to_a_thread_of_their_own();
    hold_errors();
    const int result = llama_server((int) arguments.size(), pointers.data());
    if (result != 0 && !first_error().empty()) {
        report_failure("the server cannot start: " + with_way_out(first_error()));
    }
    stopped = true;
    if (announcer.joinable()) {
        announcer.join();
    }
    return result;
}

}
