#include "mapped.h"

#define NOMINMAX
#include <windows.h>

#include <stdexcept>

namespace lff {

char * mapped(const member & m) {
    SYSTEM_INFO system;
    GetSystemInfo(&system);
    const uint64_t start = m.offset / system.dwAllocationGranularity * system.dwAllocationGranularity;
    const HANDLE   file  = CreateFileMappingW((HANDLE) container().file->descriptor(), nullptr, PAGE_READONLY, 0, 0, nullptr);
    void * const   at    = file == nullptr ? nullptr
                                           : MapViewOfFile(file, FILE_MAP_READ, (DWORD) (start >> 32), (DWORD) start, (size_t) (m.offset - start + m.size));
    if (file != nullptr) {
        CloseHandle(file);  // the view keeps it
    }
    if (at == nullptr) {
        throw std::runtime_error("the member " + m.name + " cannot be mapped");
    }
    return (char *) at + (m.offset - start);
}

}
