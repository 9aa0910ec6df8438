#include "named.h"

#include "platform.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <sys/stat.h>

#if !defined(_WIN32)
#  include <unistd.h>
#endif

namespace lff {
namespace {

// Options whose value is a text, though there may be a file of that name.
const char * const TEXTS[] = { "-p", "--prompt", "-sys", "--system-prompt", "-a", "--alias", "--host", "--api-key" };

// Options that let the engine write, or read a whole folder.
const char * const WRITTEN_FILES[]   = { "--log-file", "-lcd", "--lookup-cache-dynamic" };
const char * const WRITTEN_FOLDERS[] = { "--slot-save-path", "--log-prompts-dir" };
const char * const READ_FOLDERS[]    = { "--path", "--media-path" };

template <size_t N> bool is_one_of(const std::string & name, const char * const (&names)[N]) {
    return std::any_of(names, names + N, [&](const char * other) { return name == other; });
}

// As the engine reads it: --log_file is --log-file.
std::string spelled(std::string option) {
    if (option.compare(0, 2, "--") == 0) {
        std::replace(option.begin(), option.end(), '_', '-');
    }
    return option;
}

#if defined(_WIN32) || defined(__wasi__)

void protect(const grants &, const std::string &) {}
void add_file(std::vector<std::string> & to, const std::string & path) { to.push_back(path); }

#else

void add_file(std::vector<std::string> & to, const std::string & path) {
    struct stat found;
    if (stat(path.c_str(), &found) == 0 && !S_ISDIR(found.st_mode)) {
        to.push_back(path);
    }
}

std::string real(const std::string & path) {
    char * resolved = realpath(path.c_str(), nullptr);
    const std::string found = resolved == nullptr ? path : resolved;
    free(resolved);
    return found;
}

bool is_at_or_below(const std::string & path, const std::string & folder) {
    return path == folder || folder == "/" || path.compare(0, folder.size() + 1, folder + "/") == 0;
}

// Where programs and verdicts may be kept (spec/1.0, 14.2.8), as far as there is something.
std::vector<std::string> caches(const std::string & container) {
    const std::string user = "/lff-" + std::to_string(getuid()), home = environment("HOME");
    std::vector<std::string> places = { environment("LFF_CACHE"), environment("XDG_CACHE_HOME"), environment("XDG_RUNTIME_DIR"),
                                        environment("TMPDIR") + user, "/var/tmp" + user, "/tmp" + user,
                                        home + "/.cache", home + "/Library/Caches", container.substr(0, container.rfind('/')) };
    std::vector<std::string> found;
    for (const std::string & place : places) {
        const std::string folder = place + "/llamafile-format";
        if (!place.empty() && access(folder.c_str(), F_OK) == 0) {
            found.push_back(real(folder));
        }
    }
    return found;
}

// Refuses to grant what must stay as it is: a program or a verdict that is exchanged there serves the next start.
void protect(const grants & granted, const std::string & container) {
    std::vector<std::string> kept = caches(container);
    kept.push_back(real("/proc/self/exe"));
    if (!container.empty()) {
        kept.push_back(real(container));
    }
    std::vector<std::string> written = granted.write;
    written.insert(written.end(), granted.write_below.begin(), granted.write_below.end());
    for (const std::string & path : written) {
        for (const std::string & place : kept) {
            if (is_at_or_below(place, real(path)) || is_at_or_below(real(path), place)) {
                throw std::runtime_error(path + " is not written: " + place + " is kept there; name another place");
            }
        }
    }
}

#endif

// A model in shards is named by its first: NAME-00001-of-00005.gguf.
void add_shards(std::vector<std::string> & to, const std::string & path) {
    int number = 0, count = 0;
    const size_t end = path.size() - std::min<size_t>(path.size(), strlen("-00001-of-00005.gguf"));
    if (sscanf(path.c_str() + end, "-%5d-of-%5d.gguf", &number, &count) != 2) {
        return;
    }
    for (int i = 1; i <= count && i <= 99999; i++) {
        char name[32];
        snprintf(name, sizeof name, "-%05d-of-%05d.gguf", i, count);
        add_file(to, path.substr(0, end) + name);
    }
}

// A value may be a path, several with commas between them, and each may have a scale behind a colon.
void add_named(std::vector<std::string> & to, const std::string & value) {
    add_file(to, value);
    add_shards(to, value);
    for (size_t at = 0; at < value.size();) {
        const size_t      end  = std::min(value.find(',', at), value.size());
        const std::string item = value.substr(at, end - at);
        const size_t      scale = item.rfind(':');
        add_file(to, item);
        if (scale != std::string::npos) {
            add_file(to, item.substr(0, scale));
        }
        at = end + 1;
    }
}

// A descriptor that is named by its path, as shells do for <(...), stays open.
void add_descriptor(std::vector<int> & to, const std::string & path) {
    for (const char * folder : { "/dev/fd/", "/proc/self/fd/" }) {
        if (path.compare(0, strlen(folder), folder) == 0) {
            to.push_back(atoi(path.c_str() + strlen(folder)));
        }
    }
}

}

grants named_by(const std::vector<std::string> & user, const std::string & container) {
    grants granted;
    for (size_t i = 0; i < user.size(); i++) {
        const size_t      equals = user[i][0] == '-' ? user[i].find('=') : std::string::npos;
        const bool        next   = equals == std::string::npos && i + 1 < user.size();
        const std::string option = spelled(user[i].substr(0, equals));
        const std::string value  = next ? user[i + 1] : equals == std::string::npos ? "" : user[i].substr(equals + 1);
        if (is_one_of(option, TEXTS)) {
            i += next;
        } else if (is_one_of(option, WRITTEN_FILES)) {
            granted.write.push_back(value);
        } else if (is_one_of(option, WRITTEN_FOLDERS)) {
            granted.write_below.push_back(value);
        } else if (is_one_of(option, READ_FOLDERS)) {
            granted.read_below.push_back(value);
        } else {
            add_named(granted.read, value);
        }
    }
    for (const std::string & path : { container, environment("LFF_WEBUI") }) {
        if (!path.empty()) {
            granted.read.push_back(path);
        }
    }
    protect(granted, container);
    for (const std::string & path : granted.read) {
        add_descriptor(granted.descriptors, path);
    }
    return granted;
}

}
