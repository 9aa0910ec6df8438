#include "gpu.h"

#include "build.h"
#include "plan.h"
#include "platform.h"

#include <cstdio>
#include <cstring>

#if defined(__linux__)
#  include "gpu_build.h"
#  include "gpu_verdict.h"

#  include <cerrno>
#  include <dirent.h>
#  include <unistd.h>

extern char ** environ;
#endif

namespace lff {

gpu_wish wanted_gpu() {
    const std::string wanted = environment("LFF_GPU");
    gpu_wish          found;
#if defined(__linux__)
    const bool unless_asked = false;
#else
    const bool unless_asked = wanted.empty();
#endif
    if (wanted == "off" || unless_asked) {
        found.off = true;
    } else if (!wanted.empty() && wanted != "auto") {
        if (wanted.size() > 3 || wanted.find_first_not_of("0123456789") != std::string::npos) {
            throw usage_error("LFF_GPU is auto, off or the number of a device (--list-devices), not '" + wanted + "'");
        }
        found.device = atoi(wanted.c_str());
    }
    return found;
}

bool stays_on_cpu(const std::vector<std::string> & user) {
    const std::string layers = option(user, { "-ngl", "--gpu-layers", "--n-gpu-layers" }), devices = option(user, { "-dev", "--device" });
    return given(user, { "--trace", "--inspect", "--what-will-run" }) || layers == "0" || devices == "none";
}

#if defined(__linux__)

namespace {

#  if defined(__aarch64__)
constexpr const char * LOADER = "/lib/ld-linux-aarch64.so.1";
#  else
constexpr const char * LOADER = "/lib64/ld-linux-x86-64.so.2";
#  endif

bool has_entry(const char * folder, const char * prefix) {
    DIR * const opened = opendir(folder);
    bool        found  = false;
    while (opened != nullptr && !found) {
        const struct dirent * entry = readdir(opened);
        if (entry == nullptr) {
            break;
        }
        found = strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    }
    if (opened != nullptr) {
        closedir(opened);
    }
    return found;
}

// Becomes the program; returns only if the system does not start it.
void become(int program, const std::vector<std::string> & user) {
    const std::string handed = container().file->identity_text();
    setenv("LFF_CONTAINER_FD", handed.c_str(), 1);
    container().file->keep_on_exec(true);
    std::vector<std::string> words = { "llamafile" };
    words.insert(words.end(), user.begin(), user.end());
    std::vector<char *> arguments;
    for (std::string & word : words) {
        arguments.push_back(&word[0]);
    }
    arguments.push_back(nullptr);
    fflush(nullptr);
    fexecve(program, arguments.data(), environ);
    container().file->keep_on_exec(false);
    forget("LFF_CONTAINER_FD");
}

}

void hand_over_to_gpu(gpu_wish & wish, const std::vector<std::string> & user) {
    if (std::string(FLAVOUR) != "native" || wish.off || container().file == nullptr || stays_on_cpu(user)) {
        return;
    }
    const bool listing = given(user, { "--list-devices" });
    if (!wish.named() && !listing && !has_entry("/dev/dri", "renderD") && !has_entry("/dev", "nvidia")) {
        return;
    }
    const auto unless = [&](const std::string & why) {
        if (!why.empty()) {
            fprintf(stderr, "llamafile: %s; the CPU is used\n", why.c_str());
        }
    };
    const std::string asked = wish.named() ? "LFF_GPU=" + std::to_string(wish.device) + ": " : "";
    const auto        found = find_gpu_build();
    if (!found) {
        return unless(wish.named() ? asked + "there is no gpu build for " + TARGET + " in this file" : "");
    }
    if (access(LOADER, X_OK) != 0) {
        return unless(wish.named() ? asked + "this system has no " + LOADER : "");
    }
    try {
        const opened_build program = open_gpu_build(*found);
        if (listing) {
            become(program.fd, user);
        }
        const verdict result = verdict_of(program, wish);
        if (result.word != verdict::works) {
            const bool expected = result.word == verdict::none && !wish.named();
            return unless(expected || !(result.is_new || wish.named()) ? "" : asked + result.text());
        }
        become(program.fd, user);
        unless("the gpu build cannot be started: " + std::string(strerror(errno)));
    } catch (const std::exception & error) {
        unless(error.what());
    }
}

#elif !defined(_WIN32)

void hand_over_to_gpu(gpu_wish &, const std::vector<std::string> &) {}

#endif

}
