#include "kept.h"

#include "platform.h"
#include "sha256.h"

#define NOMINMAX
#include <windows.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

namespace lff {
namespace {

// Others may read while this is open, and neither write nor rename nor remove: of the file, and of the folders above it.
HANDLE open_still(const std::wstring & path) {
    return CreateFileW(path.c_str(), GENERIC_READ, FILE_SHARE_READ, nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
}

bool has_digest(HANDLE file, const listed_library & wanted) {
    sha256            digest;
    std::vector<char> piece(PIECE);
    uint64_t          size = 0;
    for (DWORD got; ReadFile(file, piece.data(), (DWORD) piece.size(), &got, nullptr) && got > 0; size += got) {
        digest.update(piece.data(), got);
    }
    return size == wanted.size && digest.hex() == wanted.sha256;
}

// The file at `path`, if it is there, is no link, and is the right one; else INVALID_HANDLE_VALUE.
HANDLE open_kept(const std::wstring & path, const listed_library & wanted) {
    const DWORD  kind = GetFileAttributesW(path.c_str());
    const HANDLE file = kind == INVALID_FILE_ATTRIBUTES || (kind & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT)) != 0
                            ? INVALID_HANDLE_VALUE
                            : open_still(path);
    if (file != INVALID_HANDLE_VALUE && !has_digest(file, wanted)) {
        CloseHandle(file);
        return INVALID_HANDLE_VALUE;
    }
    return file;
}

// Takes away what starts left behind when they were killed: `path`.PROCESS. One that still writes has its file to itself.
void sweep(const std::wstring & path) {
    const std::wstring folder = path.substr(0, path.rfind(L'\\') + 1);
    WIN32_FIND_DATAW   entry;
    const HANDLE       listing = FindFirstFileW((path + L".*").c_str(), &entry);
    for (bool more = listing != INVALID_HANDLE_VALUE; more; more = FindNextFileW(listing, &entry)) {
        const std::wstring name = folder + entry.cFileName;
        if (name.size() > path.size() + 1 && name.find_first_not_of(L"0123456789", path.size() + 1) == std::wstring::npos) {
            DeleteFileW(name.c_str());
        }
    }
    if (listing != INVALID_HANDLE_VALUE) {
        FindClose(listing);
    }
}

// Copies the member to a name of this process and gives it its own in one step.
bool extract(const archive & container, const member & m, const std::wstring & path) {
    sweep(path);
    const std::wstring partial = path + L"." + std::to_wstring(GetCurrentProcessId());
    const HANDLE       file = CreateFileW(partial.c_str(), GENERIC_WRITE, 0, nullptr, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, nullptr);
    std::vector<char>  piece(PIECE);
    bool               good = file != INVALID_HANDLE_VALUE;
    for (uint64_t at = 0; good && at < m.size; at += piece.size()) {
        const DWORD count = (DWORD) std::min<uint64_t>(piece.size(), m.size - at);
        DWORD       put   = 0;
        good              = container.file->read(m.offset + at, piece.data(), count) && WriteFile(file, piece.data(), count, &put, nullptr) && put == count;
    }
    if (file != INVALID_HANDLE_VALUE) {
        good = FlushFileBuffers(file) && good;
        CloseHandle(file);
    }
    good = good && MoveFileExW(partial.c_str(), path.c_str(), MOVEFILE_REPLACE_EXISTING);
    if (!good) {
        DeleteFileW(partial.c_str());
    }
    return good;
}

// In the launcher's order (14.2.8), the folder of the container last.
std::vector<std::string> places(const archive & container) {
    wchar_t     temporary[MAX_PATH + 1] = L"";
    const DWORD length = GetTempPathW(MAX_PATH + 1, temporary);
    return { environment("LFF_CACHE"), environment("LOCALAPPDATA"), length <= MAX_PATH ? narrow(temporary) : "",
             container.path.substr(0, container.path.find_last_of("\\/") + 1) };
}

std::wstring made(std::wstring path, const listed_library & wanted) {
    for (const std::string & name : { std::string(), std::string("llamafile-format"), std::string("rt"), wanted.sha256 }) {
        path += name.empty() ? L"" : L"\\" + widen(name);
        CreateDirectoryW(path.c_str(), nullptr);
    }
    return path + L"\\" + widen(wanted.name);
}

class kept_file : public kept_library {
public:
    explicit kept_file(HANDLE file) : file(file) {}
    ~kept_file() override { CloseHandle(file); }

    // By the name that the open file has now, without links. What it needs itself comes from the system's folder alone, or
    // is loaded already: not from where this program, or its user, happens to stand.
    void * load() const override {
        std::vector<wchar_t> path(32768);
        const DWORD          length = GetFinalPathNameByHandleW(file, path.data(), (DWORD) path.size(), FILE_NAME_NORMALIZED | VOLUME_NAME_DOS);
        if (length == 0 || length >= path.size()) {
            throw std::runtime_error("the engine's library has no name that it can be loaded by");
        }
        std::wstring from(path.data(), length);
        if (from.compare(0, 4, L"\\\\?\\") == 0 && from.size() > 6 && from[5] == L':') {
            from.erase(0, 4);  // a loader may not know this form
        }
        SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOOPENFILEERRORBOX);  // a line, and no window
        const HMODULE handle = LoadLibraryExW(from.c_str(), nullptr, LOAD_LIBRARY_SEARCH_SYSTEM32);
        if (handle == nullptr) {
            const DWORD why = GetLastError();
            throw std::runtime_error("the engine's library cannot be loaded: error " + std::to_string(why) +
                                     (why == ERROR_MOD_NOT_FOUND ? "; it needs Microsoft's Visual C++ Redistributable for Visual Studio 2015 to 2022" : ""));
        }
        return (void *) handle;
    }

private:
    HANDLE file;
};

}

std::unique_ptr<kept_library> keep(const archive & container, const member & m, const listed_library & wanted) {
    for (const std::string & place : places(container)) {
        if (place.empty()) {
            continue;
        }
        const std::wstring path = made(widen(place), wanted);
        HANDLE             file = open_kept(path, wanted);
        if (file == INVALID_HANDLE_VALUE) {
            check_member(container, m, wanted);
            file = extract(container, m, path) ? open_kept(path, wanted) : INVALID_HANDLE_VALUE;
        }
        if (file != INVALID_HANDLE_VALUE) {
            return std::make_unique<kept_file>(file);
        }
    }
    throw std::runtime_error("there is no place for the engine's library; name one with LFF_CACHE");
}

void * function_of(void * library, const char * name) { return (void *) GetProcAddress((HMODULE) library, name); }

}
