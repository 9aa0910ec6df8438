#include "told.h"

#include <atomic>
#include <cstdint>
#include <cstring>

#if defined(_WIN32)
#  ifndef NOMINMAX
#    define NOMINMAX
#  endif
#  include <windows.h>
#  include <cstdlib>
#elif !defined(__wasi__)
#  include <sys/mman.h>
#endif

namespace lff {
namespace {

struct page {
    std::atomic<bool> begun;
    char              device[512];
};

page   own;  // where there is one process
page * shared = &own;

#if defined(_WIN32)
HANDLE section = nullptr;

void map(HANDLE from) {
    void * const seen = MapViewOfFile(from, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, sizeof(page));
    if (seen != nullptr) {
        section = from;
        shared  = static_cast<page *>(seen);
    }
}
#endif

}

void make_told() {
#if defined(_WIN32)
    SECURITY_ATTRIBUTES inherited = { sizeof inherited, nullptr, TRUE };
    const HANDLE        made = CreateFileMappingW(INVALID_HANDLE_VALUE, &inherited, PAGE_READWRITE, 0, sizeof(page), nullptr);
    if (made != nullptr) {
        map(made);
    }
#elif !defined(__wasi__)
    void * const made = mmap(nullptr, sizeof(page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANON, -1, 0);
    if (made != MAP_FAILED) {
        shared = static_cast<page *>(made);
    }
#endif
}

void tell_device(const std::string & name) {
    strncpy(shared->device, name.c_str(), sizeof shared->device - 1);
    shared->device[sizeof shared->device - 1] = '\0';
}

// The inner process may be anybody's by now: no more than the page is read, and nothing but what any terminal shows.
std::string told_device() {
    std::string name;
    for (size_t i = 0; i + 1 < sizeof shared->device && shared->device[i] != '\0'; i++) {
        const char c = shared->device[i];
        name += c < 0x20 || c > 0x7E ? '?' : c;
    }
    return name;
}

void tell_begun() { shared->begun = true; }
bool told_begun() { return shared->begun; }

void forget_told() {
    shared->begun     = false;
    shared->device[0] = '\0';
}

#if defined(_WIN32)

std::string hand_over_told() { return std::to_string((unsigned long long) (uintptr_t) section); }

void take_told(const std::string & word) { map((HANDLE) (uintptr_t) strtoull(word.c_str(), nullptr, 10)); }

#endif

}
