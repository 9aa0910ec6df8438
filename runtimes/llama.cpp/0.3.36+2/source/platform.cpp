#include "platform.h"

#include <cstdlib>
#include <cstring>
#include <thread>

#if defined(_WIN32)
#  define NOMINMAX
#  include <windows.h>
#  include <shellapi.h>
#  include <fcntl.h>
#  include <io.h>
#else
#  include <unistd.h>
#  if !defined(__wasi__)
#    include <signal.h>
#    include <spawn.h>
#    include <sys/wait.h>
#  endif
extern char ** environ;
#endif

namespace {

// llama.cpp, ggml and the server's cloud and hub integrations read these.
const char * const ENGINE_SETTINGS[] = { "LLAMA_", "LLAMACPP_", "GGML_", "MTMD_", "LLGUIDANCE_", "AIP_", "HF_", "MODEL_ENDPOINT" };

bool is_engine_setting(const std::string & name) {
    for (const char * prefix : ENGINE_SETTINGS) {
        if (name.compare(0, strlen(prefix), prefix) == 0) {
            return true;
        }
    }
    return false;
}

}

namespace lff {

bool seek(FILE * file, uint64_t offset) {
#if defined(_WIN32)
    return _fseeki64(file, (int64_t) offset, SEEK_SET) == 0;
#else
    return fseeko(file, (off_t) offset, SEEK_SET) == 0;
#endif
}

int64_t file_size(FILE * file) {
#if defined(_WIN32)
    return _fseeki64(file, 0, SEEK_END) == 0 ? _ftelli64(file) : -1;
#else
    return fseeko(file, 0, SEEK_END) == 0 ? (int64_t) ftello(file) : -1;
#endif
}

#if defined(_WIN32)

std::string narrow(const wchar_t * text) {
    const int   size = WideCharToMultiByte(CP_UTF8, 0, text, -1, nullptr, 0, nullptr, nullptr);
    std::string out(size > 0 ? (size_t) size : 1, '\0');
    WideCharToMultiByte(CP_UTF8, 0, text, -1, &out[0], size, nullptr, nullptr);
    out.resize(out.size() - 1);
    return out;
}

std::wstring widen(const std::string & text) {
    const int    size = MultiByteToWideChar(CP_UTF8, 0, text.c_str(), -1, nullptr, 0);
    std::wstring out(size > 0 ? (size_t) size : 1, L'\0');
    MultiByteToWideChar(CP_UTF8, 0, text.c_str(), -1, &out[0], size);
    out.resize(out.size() - 1);
    return out;
}

FILE * open_file(const std::string & path, const char * mode) {
    return _wfopen(widen(path).c_str(), widen(mode).c_str());
}

std::vector<std::string> arguments(int, char **) {
    int        count = 0;
    wchar_t ** wide  = CommandLineToArgvW(GetCommandLineW(), &count);
    std::vector<std::string> out;
    for (int i = 1; i < count; i++) {
        out.push_back(narrow(wide[i]));
    }
    LocalFree(wide);
    return out;
}

std::string environment(const char * name) {
    const wchar_t * value = _wgetenv(widen(name).c_str());
    return value == nullptr ? "" : narrow(value);
}

bool is_set(const char * name) { return _wgetenv(widen(name).c_str()) != nullptr; }

void forget(const char * name) { _wputenv_s(widen(name).c_str(), L""); }

void put(const char * name, const std::string & value) { _wputenv_s(widen(name).c_str(), widen(value).c_str()); }

void forget_engine_settings() {
    std::vector<std::wstring> doomed;
    wchar_t * block = GetEnvironmentStringsW();
    for (const wchar_t * entry = block; *entry; entry += wcslen(entry) + 1) {
        const std::wstring text(entry);
        const size_t       equals = text.find(L'=', 1);
        if (equals != std::wstring::npos && is_engine_setting(narrow(text.substr(0, equals).c_str()))) {
            doomed.push_back(text.substr(0, equals));
        }
    }
    FreeEnvironmentStringsW(block);
    for (const std::wstring & name : doomed) {
        _wputenv_s(name.c_str(), L"");
    }
}

void binary_streams() {
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
}

bool has_desktop() {
    USEROBJECTFLAGS flags = {};
    return GetUserObjectInformationW(GetProcessWindowStation(), UOI_FLAGS, &flags, sizeof flags, nullptr) &&
           (flags.dwFlags & WSF_VISIBLE) != 0 && environment("SSH_CONNECTION").empty();
}

void open_in_browser(const std::string & address) {
    ShellExecuteW(nullptr, L"open", widen(address).c_str(), nullptr, nullptr, SW_SHOWNORMAL);
}

#else

FILE * open_file(const std::string & path, const char * mode) {
    return fopen(path.c_str(), mode);
}

std::vector<std::string> arguments(int argc, char ** argv) {
    return std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc);
}

std::string environment(const char * name) {
    const char * value = getenv(name);
    return value == nullptr ? "" : value;
}

bool is_set(const char * name) { return getenv(name) != nullptr; }

void forget(const char * name) { unsetenv(name); }

void put(const char * name, const std::string & value) { setenv(name, value.c_str(), 1); }

void forget_engine_settings() {
    std::vector<std::string> doomed;
    for (char ** entry = environ; entry != nullptr && *entry != nullptr; entry++) {
        const std::string name(*entry, strcspn(*entry, "="));
        if (is_engine_setting(name)) {
            doomed.push_back(name);
        }
    }
    for (const std::string & name : doomed) {
        unsetenv(name.c_str());
    }
}

void binary_streams() {}

#if defined(__wasi__)

bool has_desktop() { return false; }
void open_in_browser(const std::string &) {}

#else

bool has_desktop() {
    if (!environment("SSH_CONNECTION").empty()) {
        return false;
    }
#if defined(__APPLE__)
    return true;
#else
    return !environment("DISPLAY").empty() || !environment("WAYLAND_DISPLAY").empty();
#endif
}

void open_in_browser(const std::string & address) {
#if defined(__APPLE__)
    const char * opener = "open";
#else
    const char * opener = "xdg-open";
#endif
    char * const arguments[] = { const_cast<char *>(opener), const_cast<char *>(address.c_str()), nullptr };
    pid_t        child       = 0;
    if (posix_spawnp(&child, opener, nullptr, nullptr, arguments, environ) == 0) {
        std::thread([child] { waitpid(child, nullptr, 0); }).detach();
    }
}

#endif
#endif

}
