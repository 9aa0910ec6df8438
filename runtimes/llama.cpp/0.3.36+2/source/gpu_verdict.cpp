#include "gpu_verdict.h"

#if defined(__linux__)

#include "build.h"
#include "platform.h"
#include "sha256.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char ** environ;

namespace lff {
namespace {

constexpr int PATIENCE = 20000;  // milliseconds that a probe may take: drivers start slowly after a system did

// Where a loader looks for drivers; their manifests are small files that an update replaces.
const char * const MANIFESTS[] = { "/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/etc/vulkan/icd.d" };
// And what tells it to look elsewhere.
const char * const SETTINGS[] = { "VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES", "VK_LOADER_DRIVERS_SELECT", "VK_LOADER_DRIVERS_DISABLE",
                                  "XDG_DATA_DIRS", "XDG_DATA_HOME", "XDG_CONFIG_DIRS", "LD_LIBRARY_PATH" };

std::string state_of(const std::string & path) {
    struct stat info;
    if (stat(path.c_str(), &info) != 0) {
        return "";
    }
    return path + " " + std::to_string(info.st_ino) + " " + std::to_string(info.st_size) + " " + std::to_string(info.st_mtim.tv_sec) + "." +
           std::to_string(info.st_mtim.tv_nsec) + "\n";
}

std::vector<std::string> names_in(const std::string & folder) {
    std::vector<std::string> names;
    DIR * const              opened = opendir(folder.c_str());
    while (const struct dirent * entry = opened == nullptr ? nullptr : readdir(opened)) {
        if (entry->d_name[0] != '.') {
            names.push_back(entry->d_name);
        }
    }
    if (opened != nullptr) {
        closedir(opened);
    }
    std::sort(names.begin(), names.end());
    return names;
}

// Everything but the start of the system that the answer depends on.
std::string circumstances(const gpu_wish & wish) {
    std::string text = std::to_string(wish.device) + "\n";
    for (const char * folder : MANIFESTS) {
        for (const std::string & name : names_in(folder)) {
            text += state_of(std::string(folder) + "/" + name);
        }
    }
    for (const char * name : SETTINGS) {
        const std::string value = environment(name);
        text += std::string(name) + "=" + value + "\n" + (value.empty() ? "" : state_of(value));
    }
    for (const std::string & name : names_in("/dev/dri")) {
        text += name + "\n";
    }
    return sha256().update(text.data(), text.size()).hex();
}

std::string first_line(const std::string & path) {
    char  line[512] = "";
    FILE * file     = fopen(path.c_str(), "re");
    if (file != nullptr) {
        if (fgets(line, sizeof line, file) == nullptr) {
            line[0] = '\0';
        }
        fclose(file);
    }
    line[strcspn(line, "\n")] = '\0';
    return line;
}

bool outlives_the_system(const std::string & word) { return word == verdict::crashed || word == verdict::hung || word == verdict::wrong; }

std::string known(const std::string & word) {
    for (const char * each : { verdict::works, verdict::none, verdict::wrong, verdict::crashed, verdict::hung }) {
        if (word == each) {
            return word;
        }
    }
    return "";
}

void remember(const std::string & path, const std::string & boot, const std::string & word) {
    const std::string partial = path + "." + std::to_string(getpid());
    FILE *            file    = fopen(partial.c_str(), "wxe");
    if (file != nullptr) {
        const bool written = fprintf(file, "%s %s\n", boot.c_str(), word.c_str()) > 0;
        if (fclose(file) != 0 || !written || rename(partial.c_str(), path.c_str()) != 0) {
            unlink(partial.c_str());
        }
    }
}

// The child: the gpu build, with nothing to read, its words into `out`, its drivers' complaints nowhere.
[[noreturn]] void become_probe(int program, int out) {
    const int nothing = open("/dev/null", O_RDWR);
    dup2(nothing, 0);
    dup2(out, 1);
    dup2(nothing, 2);
    try {
        setenv("LFF_CONTAINER_FD", container().file->identity_text().c_str(), 1);
        container().file->keep_on_exec(true);
    } catch (const std::exception &) {
        _exit(127);
    }
    char * const arguments[] = { const_cast<char *>("llamafile"), const_cast<char *>(PROBE), nullptr };
    fexecve(program, arguments, environ);
    _exit(127);
}

// Reads until the child has closed its end; false after `PATIENCE`.
bool listen_to(int from, std::string & said) {
    struct timespec begun, now;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        const long    spent = (now.tv_sec - begun.tv_sec) * 1000 + (now.tv_nsec - begun.tv_nsec) / 1000000;
        struct pollfd one   = { from, POLLIN, 0 };
        const int     ready = spent >= PATIENCE ? 0 : poll(&one, 1, (int) (PATIENCE - spent));
        if (ready == 0) {
            return false;
        }
        char          piece[512];
        const ssize_t got = ready < 0 ? -1 : read(from, piece, sizeof piece);
        if (got == 0 || said.size() > 4096) {
            return true;
        }
        if (got > 0) {
            said.append(piece, (size_t) got);
        } else if (errno != EINTR) {
            return true;
        }
    }
}

std::string probe(const opened_build & build) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return verdict::none;
    }
    fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
        become_probe(build.fd, ends[1]);
    }
    close(ends[1]);
    std::string said;
    const bool  ended = child > 0 && listen_to(ends[0], said);
    close(ends[0]);
    int how = 0;
    if (child > 0) {
        if (!ended) {
            kill(child, SIGKILL);
        }
        while (waitpid(child, &how, 0) < 0 && errno == EINTR) {
        }
    }
    if (child > 0 && !ended) {
        return verdict::hung;
    }
    if (child > 0 && WIFSIGNALED(how)) {
        return verdict::crashed;
    }
    const std::string word = known(said.substr(0, said.find_first_of(" \n")));
    return word.empty() ? verdict::none : word;
}

}

std::string verdict::text() const {
    return word == crashed ? "the driver of the GPU crashed when it was tried"
         : word == hung    ? "the driver of the GPU did not answer when it was tried"
         : word == wrong   ? "the GPU computes something else than it should"
                           : "no such device was found";
}

verdict verdict_of(const opened_build & build, const gpu_wish & wish) {
    const std::string boot = first_line("/proc/sys/kernel/random/boot_id");
    const std::string path = build.folder.empty() ? "" : build.folder + "/gpu." + circumstances(wish).substr(0, 16);
    verdict           found;
    if (!path.empty()) {
        const std::string line = first_line(path), word = known(line.substr(std::min(line.size(), line.find(' ') + 1)));
        const bool        now  = !boot.empty() && line.compare(0, boot.size() + 1, boot + " ") == 0;
        if (word == verdict::works ? now : !wish.named() && (outlives_the_system(word) || (word == verdict::none && now))) {
            found.word = word;
            return found;
        }
    }
    fprintf(stderr, "llamafile: trying the GPU; what comes out is remembered\n");
    found.word   = probe(build);
    found.is_new = true;
    if (!path.empty()) {
        remember(path, boot, found.word);
    }
    return found;
}

}

#endif
