// The runtime: one executable for a system and processor that serves, completes and traces the model of a container.

#include "build.h"
#include "complete.h"
#include "crash.h"
#include "gpu.h"
#include "inner.h"
#include "inspect.h"
#include "named.h"
#include "outer.h"
#include "plan.h"
#include "platform.h"
#include "serve.h"
#include "session.h"
#include "trace.h"

#include <clocale>
#include <cstdio>
#include <cstdlib>

namespace {

constexpr const char * HELP =
    "Usage: FILE [options]                 chat in the browser; an API like OpenAI's at /v1\n"
    "       FILE --complete -p PROMPT      print what follows the prompt\n"
    "       FILE --trace <REQUEST.json     print tokens and digests of logits, step by step\n"
    "       FILE --inspect | --what-will-run | --version | --help\n"
    "\n"
    "Every mode\n"
    "  -m MODEL          another model: a path, or /zip/NAME for one in this file\n"
    "  --lora ADAPTER    an adapter, likewise; --no-lora: none, whatever the file names\n"
    "  -t N              threads\n"
    "  -c N              context size in tokens\n"
    "  -ngl N            layers of the model on the GPU (as many as its memory holds)\n"
    "  --list-devices    GPUs and their numbers\n"
    "  --no-sandbox      do not close the sandbox around the engine\n"
    "Completion\n"
    "  -p TEXT, -f FILE  the prompt (- is standard input)\n"
    "  -n N              at most N tokens\n"
    "  --chat            the prompt is a message to answer by the model's chat template\n"
    "  --temp T          0 (the likeliest token, always the same) unless given\n"
    "  --top-k K, --top-p P, --seed S\n";

constexpr const char * SERVER_HELP =
    "Server\n"
    "  --no-browser      do not open a browser\n"
    "  --port N          instead of the first free one from 8080\n"
    "  --host ADDRESS    instead of 127.0.0.1\n"
    "  --allow-host NAME a name that it answers to besides (several: with commas)\n"
    "  --system-prompt TEXT  of requests that bring none\n"
    "  --request-timeout N  seconds after which a request is given up, 600; 0: never\n"
    "  --server-help     all options of the engine's server\n"
    "\n"
    "Environment: LFF_CACHE (where programs are unpacked), LFF_VERIFY=1 (check them at every start), LFF_FLAVOUR,\n"
    "  LFF_SANDBOX=require (rather do not start than without), LFF_WATCHDOG (seconds without progress, 60),\n"
    "  LFF_GPU=off, auto or a number of --list-devices.\n";

lff::settings settings_of(const lff::contents & found, const std::vector<std::string> & arguments) {
    lff::settings wanted;
    const lff::chosen_models chosen = lff::choose_models(found, arguments);
    wanted.model    = chosen.model;
    wanted.adapters = chosen.adapters;
    wanted.threads = atoi(lff::option(arguments, { "-t", "--threads" }).c_str());
    const std::string layers = lff::option(arguments, { "-ngl", "--gpu-layers", "--n-gpu-layers" });
    wanted.gpu_layers = layers.empty() || layers == "auto" || layers == "all" ? -1 : atoi(layers.c_str());
    wanted.context = (uint32_t) strtoul(lff::option(arguments, { "-c", "--ctx-size" }).c_str(), nullptr, 10);
    return wanted;
}

using wrong_usage = lff::usage_error;

// What the user's own command line and environment say about the sandbox; a container's arguments say nothing.
lff::errand errand_of(std::vector<std::string> & user, const std::string & container) {
    lff::errand       given;
    const std::string wanted = lff::environment("LFF_SANDBOX");
    if (!wanted.empty() && wanted != "require") {
        throw wrong_usage("LFF_SANDBOX is 'require' or not set, not '" + wanted + "'");
    }
    given.required  = wanted == "require";
    given.sandboxed = !lff::take(user, "--no-sandbox");
    if (given.required && !given.sandboxed) {
        throw wrong_usage("LFF_SANDBOX=require and --no-sandbox exclude each other");
    }
    given.granted = lff::named_by(user, container);
    return given;
}

// What the inner process does. Throws if the arguments do not say it.
std::function<int()> work_of(const lff::contents & found, const std::vector<std::string> & user, lff::errand & given) {
    std::vector<std::string> arguments = lff::command_line(found, user);
    const bool tracing    = lff::take(arguments, "--trace");
    const bool completing = lff::take(arguments, "--complete");
    const bool serving    = lff::take(arguments, "--server");
    if (tracing + completing + serving > 1) {
        throw lff::failure("--trace, --complete and --server exclude each other");
    }
    const bool    fewer  = !lff::given(user, { "-t", "--threads", "-tb", "--threads-batch" });  // a file's own number is the most
    lff::settings wanted = settings_of(found, arguments);
    if (wanted.model.empty() && !lff::given(arguments, { "--server-help" })) {
        throw wrong_usage("there is no model in this file; name one with -m MODEL");
    }
    if (tracing) {
        return [=] { return lff::trace(wanted); };
    }
    if (completing || (!serving && (!lff::HAS_SERVER || lff::given(arguments, { "-p", "--prompt", "-f", "--file" })))) {
        wanted.fewer = fewer;
        return [=] { return lff::complete(wanted, arguments); };
    }
    if (!lff::given(arguments, { "--server-help" })) {
        given.listening = lff::listen_for(arguments);
        given.browser   = lff::wants_browser(arguments);
        given.prefix    = lff::option(arguments, { "--api-prefix" });
        given.seconds   = lff::seconds_of(arguments);
    }
    return [=] { return lff::serve(found, arguments, fewer); };
}

int run(std::vector<std::string> user) {
    if (lff::given(user, { "--version" })) {
        printf("llama.cpp %s %s %s\n%s\n", lff::ENGINE_VERSION, lff::TARGET, lff::FLAVOUR, lff::sandbox_line(lff::can_close()).c_str());
        return 0;
    }
    if (lff::given(user, { "--help", "-h" })) {
        printf("%s%s", HELP, lff::HAS_SERVER ? SERVER_HELP : "");
        return 0;
    }
    lff::gpu_wish wish = lff::wanted_gpu();
    lff::contents       found;
    lff::set_container(lff::container_of_environment());
    if (!lff::container().path.empty()) {
        found = lff::survey(lff::container(), strtoull(lff::environment("LFF_WEIGHTS_OFFSET").c_str(), nullptr, 10));
    }
    lff::hand_over_to_gpu(wish, user);
    if (lff::given(user, { "--list-devices" })) {
        return lff::list_gpus();
    }
    lff::errand given = errand_of(user, lff::container().path);
    given.gpu         = lff::has_gpu() && !lff::given(user, { "--trace" }) ? wish : given.gpu;
    if (lff::container().file != nullptr) {
        given.granted.descriptors.push_back((int) lff::container().file->descriptor());
    }
    found.adapters = !lff::take(user, "--no-lora");
    if (lff::given(user, { "--inspect" })) {
        given.work = [] { return lff::inspect(lff::container()); };
    } else if (lff::has_gpu() && lff::given(user, { lff::PROBE })) {
        given.work = [] { return lff::try_gpu(); };
        return lff::run_inner(given, 0);
    } else if (lff::given(user, { "--what-will-run" })) {
        given.work = [=] { return lff::tell_what_will_run(found); };
    } else {
        given.work = work_of(found, user, given);
    }
    return lff::run_errand(given);
}

}

int main(int argc, char ** argv) {
    std::setlocale(LC_NUMERIC, "C");
    lff::binary_streams();
    lff::forget_engine_settings();
    std::vector<std::string> user = lff::arguments(argc, argv);
    lff::end_in_one_line(lff::given(user, { "--trace" }));
    try {
        return run(std::move(user));
    } catch (const wrong_usage & error) {
        lff::report_failure(error.what());
        return 2;
    } catch (const std::exception & error) {
        lff::report_failure(error.what());
        return 1;
    }
}
