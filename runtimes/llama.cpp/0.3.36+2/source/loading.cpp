// Around upstream's log, whose two doors have other names in its own source (cmake/server.cmake): see loading.h.

#include "loading.h"

#include "terminal.h"
#include "watch.h"

#include "log.h"

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <optional>
#include <vector>

void lff_upstream_log_add(struct common_log * log, enum ggml_log_level level, const char * format, ...);

namespace lff {
namespace {

std::atomic<bool>        holding{ false };
std::mutex               lock;
std::vector<std::string> held, later;
std::optional<work>      loading;  // on the thread that loads, and then runs the engine's loop

bool hold(enum ggml_log_level level, const std::string & text) {
    if (!holding || level != GGML_LOG_LEVEL_ERROR) {
        return false;
    }
    const std::lock_guard<std::mutex> guard(lock);
    held.push_back(text);
    return true;
}

}

void hold_errors() { holding = true; }

void watch_loading() { loading.emplace(LOADING); }

void say_later(const std::string & line) { later.push_back(line); }

void loaded() {
    loading.reset();
    if (!holding.exchange(false)) {
        return;
    }
    const std::lock_guard<std::mutex> guard(lock);
    for (const std::string & text : held) {
        lff_upstream_log_add(common_log_main(), GGML_LOG_LEVEL_ERROR, "%s", text.c_str());
    }
    for (const std::string & line : later) {
        fprintf(stderr, "llamafile: %s\n", line.c_str());
    }
    held.clear();
}

std::string first_error() {
    const std::lock_guard<std::mutex> guard(lock);
    const std::string                 first = held.empty() ? "" : held.front();
    return first.substr(0, first.find_last_not_of(" \r\n") + 1);
}

}

void common_log_add(struct common_log * log, enum ggml_log_level level, const char * format, ...) {
    va_list given;
    va_start(given, format);
    char      place[1024];
    va_list   again;
    va_copy(again, given);
    const int length = vsnprintf(place, sizeof place, format, given);
    va_end(given);
    std::string text(length > 0 ? (size_t) length : 0, '\0');
    if (length >= (int) sizeof place) {
        vsnprintf(&text[0], text.size() + 1, format, again);
    } else {
        text.assign(place, text.size());
    }
    va_end(again);
    const std::string shown = lff::escaped(text, level == GGML_LOG_LEVEL_DEBUG ? text.size() : lff::MAX_SAID);
    if (!lff::hold(level, shown)) {
        lff_upstream_log_add(log, level, "%s", shown.c_str());
    }
}

// The engine logs each part that it loads, of the weights a dot for each hundredth.
void common_log_default_callback(enum ggml_log_level level, const char * text, void *) {
    lff::engine_heartbeat();
    if (common_log_get_verbosity(level) <= common_log_get_verbosity_thold()) {
        common_log_add(common_log_main(), level, "%s", text);
    }
}
