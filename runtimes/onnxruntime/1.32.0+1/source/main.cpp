// The runner: takes the engine's library out of the container, shuts itself in, and then opens the model.
#include "build.h"
#include "inspect.h"
#include "library.h"
#include "named.h"
#include "options.h"
#include "platform.h"
#include "sandbox.h"
#include "surroundings.h"
#include "text.h"
#include "work.h"

#include <algorithm>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <new>

namespace {

constexpr const char * HELP =
    "Usage: FILE [options]                 an API like OpenAI's at /v1\n"
    "       FILE --complete -p PROMPT      print what follows the prompt\n"
    "       FILE --trace <REQUEST.json     print tokens and digests of logits, step by step\n"
    "       FILE --inspect | --what-will-run | --version | --help\n"
    "\n"
    "Every mode\n"
    "  -m /zip/NAME      another model of this file\n"
    "  -t N              threads\n"
    "  -c N              context size in tokens\n"
    "  --no-sandbox      do not close the sandbox around the engine\n"
    "Completion\n"
    "  -p TEXT, -f FILE  the prompt (- is standard input)\n"
    "  -n N              at most N tokens\n"
    "  --chat            the prompt is a message to answer by the model's own form of messages\n"
    "  --temp T          0 (the likeliest token, always the same) unless given\n"
    "  --top-k K, --top-p P, --seed S\n"
    "Server\n"
    "  --port N          instead of the first free one from 8080\n"
    "\n"
    "Environment: LFF_CACHE (where programs are unpacked), LFF_SANDBOX=require (rather do not start than without).\n";

lff::settings settings_of(const lff::contents & found, const std::vector<std::string> & arguments) {
    lff::settings wanted;
    wanted.model   = lff::choose_models(found, arguments).model;
    wanted.threads = atoi(lff::option(arguments, { "-t", "--threads" }).c_str());
    wanted.context = (uint32_t) std::min(strtoul(lff::option(arguments, { "-c", "--ctx-size" }).c_str(), nullptr, 10), 1ul << 20);
    if (wanted.model.empty()) {
        throw lff::usage_error("there is no model in this file");
    }
    return wanted;
}

constexpr int MAX_OPEN = 1024;  // more than this program ever has

// What a caller left open is not for the engine.
void drop_inherited() {
    lff::grants kept;
    if (lff::container().file != nullptr) {
        kept.descriptors.push_back((int) lff::container().file->descriptor());
    }
    lff::close_others(kept);
}

// Everything that is opened later was opened or granted here.
void shut_in(std::vector<std::string> & user) {
    const std::string wanted  = lff::environment("LFF_SANDBOX");
    const bool        without = lff::take(user, "--no-sandbox");
    if ((!wanted.empty() && wanted != "require") || (without && !wanted.empty())) {
        throw lff::usage_error("LFF_SANDBOX is 'require' or not set, and excludes --no-sandbox");
    }
    if (without) {
        return;
    }
    tzset();
    lff::grants granted = lff::named_by(user, lff::container().path);
    for (int fd = 3; fd < MAX_OPEN; fd++) {
        granted.descriptors.push_back(fd);  // since drop_inherited() all are its own
    }
    const lff::closed shut = lff::close_sandbox(granted);
    if (!shut.everything()) {
        const std::string open = "this system's sandbox leaves open: " + shut.missing();
        if (!wanted.empty()) {
            throw std::runtime_error(open + "; LFF_SANDBOX=require wants all of it");
        }
        fprintf(stderr, "llamafile: %s\n", open.c_str());
    }
}

// Throws if the arguments do not say what is to be done. Opens what the work needs from outside.
std::function<int()> work_of(const lff::contents & found, std::vector<std::string> arguments) {
    const bool tracing    = lff::take(arguments, "--trace");
    const bool completing = lff::take(arguments, "--complete");
    const bool serving    = lff::take(arguments, "--server");
    if (tracing + completing + serving > 1) {
        throw lff::usage_error("--trace, --complete and --server exclude each other");
    }
    const bool prompted = !tracing && !serving && lff::given(arguments, { "-p", "--prompt", "-f", "--file" });
    lff::check_options(arguments, tracing ? lff::mode::tracing : completing || prompted ? lff::mode::completing : lff::mode::serving);
    const lff::settings wanted = settings_of(found, arguments);
    if (tracing) {
        return [=] { return lff::trace(wanted); };
    }
    if (completing || prompted) {
        return [=] { return lff::complete(wanted, arguments); };
    }
    lff::server * const door = lff::open_server(arguments);
    const std::string   name = found.name.empty() ? wanted.model.substr(wanted.model.rfind('/') + 1) : found.name;
    return [=] { return lff::serve(door, wanted, name); };
}

int run(std::vector<std::string> user) {
    if (lff::given(user, { "--version" })) {
        printf("onnxruntime %s %s %s\n", lff::ENGINE_VERSION, lff::TARGET, lff::FLAVOUR);
        return 0;
    }
    if (lff::given(user, { "--help", "-h" })) {
        printf("%s", HELP);
        return 0;
    }
    lff::contents found;
    lff::set_container(lff::container_of_environment());
    drop_inherited();
    if (!lff::container().path.empty()) {
        found = lff::survey(lff::container(), strtoull(lff::environment("LFF_WEIGHTS_OFFSET").c_str(), nullptr, 10));
    }
    if (lff::given(user, { "--inspect" })) {
        return lff::inspect(lff::container());
    }
    if (lff::given(user, { "--what-will-run" })) {
        return lff::tell_what_will_run(found);
    }
    for (const char * const name : { "--lora", "--lora-scaled", "--mmproj" }) {
        if (lff::given(user, { name })) {
            throw lff::usage_error(std::string(name) + " is nothing that this engine knows");
        }
    }
    std::vector<std::string>   mine = user;
    lff::take(mine, "--no-sandbox");
    const std::function<int()> work = work_of(found, lff::command_line(found, mine));
    lff::open_engine(lff::load_libraries(lff::container()));
    shut_in(user);
    return work();
}

int failed(const std::string & what, bool tracing, int status) {
    const std::string line = lff::shown(what.substr(0, 400));
    fprintf(stderr, "llamafile: %s\n", line.c_str());
    if (tracing) {
        std::string text;
        for (const char c : line) {
            text += c == '"' || c == '\\' ? '?' : c;
        }
        printf("{\"event\":\"error\",\"message\":\"%s\"}\n", text.c_str());
    }
    fflush(stdout);
    return status;
}

}

int main(int argc, char ** argv) {
    std::setlocale(LC_NUMERIC, "C");
    lff::binary_streams();
    lff::console_as_utf8();
    lff::forget_engine_settings();
    lff::forget_library_settings();
    lff::put("ORT_DISABLE_TELEMETRY", "1");  // else the library writes down what it sees of this machine, and reports it (14.9.7)
    std::vector<std::string> user    = lff::arguments(argc, argv);
    const bool               tracing = std::find(user.begin(), user.end(), "--trace") != user.end();
    int                      status  = 1;
    try {
        status = run(std::move(user));
    } catch (const lff::usage_error & error) {
        status = failed(error.what(), tracing, 2);
    } catch (const std::bad_alloc &) {
        status = failed("there is not enough memory", tracing, 1);
    } catch (const std::exception & error) {
        status = failed(error.what(), tracing, 1);
    }
    fflush(stdout);
    lff::console_as_before();
    _Exit(status);  // the library's own threads are not waited for
}
