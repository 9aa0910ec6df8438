#include "kept.h"

#include "platform.h"
#include "sha256.h"

#define NOMINMAX
#include <windows.h>

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

namespace lff {
namespace {

class handle {
public:
    explicit handle(HANDLE opened = INVALID_HANDLE_VALUE) : opened(opened) {}
    handle(handle && other) noexcept : opened(std::exchange(other.opened, INVALID_HANDLE_VALUE)) {}
    handle & operator=(handle && other) noexcept {
        std::swap(opened, other.opened);
        return *this;
    }
    ~handle() { close(); }

    explicit operator bool() const { return opened != INVALID_HANDLE_VALUE; }
    HANDLE   get() const { return opened; }
    void     close() {
        if (*this) {
            CloseHandle(std::exchange(opened, INVALID_HANDLE_VALUE));
        }
    }

private:
    HANDLE opened;
};

// What is at `path` itself, and nothing that a link or a junction of that name leads to. While it is open nobody renames or
// removes it; nor writes to it, if it is a file.
handle open_itself(const std::wstring & path, bool folder) {
    const DWORD access = folder ? FILE_LIST_DIRECTORY : GENERIC_READ;
    const DWORD shared = FILE_SHARE_READ | (folder ? FILE_SHARE_WRITE : 0);
    const DWORD flags  = FILE_FLAG_OPEN_REPARSE_POINT | (folder ? FILE_FLAG_BACKUP_SEMANTICS : 0);
    handle      found(CreateFileW(path.c_str(), access, shared, nullptr, OPEN_EXISTING, flags, nullptr));
    BY_HANDLE_FILE_INFORMATION facts;
    const DWORD                kinds = FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT;
    if (found && (!GetFileInformationByHandle(found.get(), &facts) || (facts.dwFileAttributes & kinds) != (folder ? FILE_ATTRIBUTE_DIRECTORY : 0))) {
        return handle();
    }
    return found;
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

// The file at `path`, if it is there and is the right one.
handle open_kept(const std::wstring & path, const listed_library & wanted) {
    handle file = open_itself(path, false);
    return file && has_digest(file.get(), wanted) ? std::move(file) : handle();
}

std::wstring name_of_machine() {
    wchar_t name[256] = L"";
    DWORD   room      = sizeof name / sizeof *name;
    return GetComputerNameExW(ComputerNamePhysicalDnsHostname, name, &room) ? name : L"";
}

// Takes away what starts on this machine left behind when they were killed: `partials`PROCESS.
void sweep(const std::wstring & partials) {
    const std::wstring folder = partials.substr(0, partials.rfind(L'\\') + 1);
    WIN32_FIND_DATAW   entry;
    const HANDLE       listing = FindFirstFileW((partials + L"*").c_str(), &entry);
    for (bool more = listing != INVALID_HANDLE_VALUE; more; more = FindNextFileW(listing, &entry)) {
        const std::wstring name   = folder + entry.cFileName;
        const std::wstring number = name.size() > partials.size() ? name.substr(partials.size()) : L"";
        if (number.empty() || number.size() > 9 || number.find_first_not_of(L"0123456789") != std::wstring::npos) {
            continue;
        }
        const HANDLE process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, (DWORD) std::stoul(number));
        if (process != nullptr) {
            CloseHandle(process);
        } else if (GetLastError() == ERROR_INVALID_PARAMETER) {  // there is none of that number
            DeleteFileW(name.c_str());
        }
    }
    if (listing != INVALID_HANDLE_VALUE) {
        FindClose(listing);
    }
}

// Copies the member to a name of this process and gives it its own in one step, if there is room and nobody has it open.
void extract(const archive & container, const member & m, const std::wstring & path) {
    const std::wstring partials = path + L"." + name_of_machine() + L".", partial = partials + std::to_wstring(GetCurrentProcessId());
    sweep(partials);
    DeleteFileW(partial.c_str());  // of a process that had our number
    handle            file(CreateFileW(partial.c_str(), GENERIC_WRITE, 0, nullptr, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, nullptr));
    std::vector<char> piece(PIECE);
    bool              good = (bool) file;
    for (uint64_t at = 0; good && at < m.size; at += piece.size()) {
        const DWORD count = (DWORD) std::min<uint64_t>(piece.size(), m.size - at);
        DWORD       put   = 0;
        good = container.file->read(m.offset + at, piece.data(), count) && WriteFile(file.get(), piece.data(), count, &put, nullptr) && put == count;
    }
    good = good && FlushFileBuffers(file.get());
    file.close();
    if (!good || !MoveFileExW(partial.c_str(), path.c_str(), MOVEFILE_REPLACE_EXISTING)) {
        DeleteFileW(partial.c_str());
    }
}

// In the launcher's order (14.2.8), without separators at the end.
std::vector<std::wstring> places(const archive & container) {
    wchar_t                   temporary[MAX_PATH + 1] = L"";
    const DWORD               length = GetTempPathW(MAX_PATH + 1, temporary);
    std::vector<std::wstring> found;
    for (const std::string & place : { environment("LFF_CACHE"), environment("LOCALAPPDATA"), length <= MAX_PATH ? narrow(temporary) : "",
                                       container.path.substr(0, container.path.find_last_of("\\/") + 1) }) {
        const size_t end = place.find_last_not_of("\\/");
        if (end != std::string::npos) {
            found.push_back(widen(place.substr(0, end + 1)));
        }
    }
    return found;
}

void make_way(const std::wstring & path) {
    for (size_t at = path.find_first_of(L"\\/", 1); at != std::wstring::npos; at = path.find_first_of(L"\\/", at + 1)) {
        CreateDirectoryW(path.substr(0, at).c_str(), nullptr);
    }
    CreateDirectoryW(path.c_str(), nullptr);
}

// The name that an open file has now, without links; empty if its file system gives none that programs are loaded by.
std::wstring name_of(HANDLE file) {
    std::vector<wchar_t> path(32768);
    for (const DWORD form : { FILE_NAME_NORMALIZED, FILE_NAME_OPENED }) {
        const DWORD length = GetFinalPathNameByHandleW(file, path.data(), (DWORD) path.size(), form | VOLUME_NAME_DOS);
        if (length > 0 && length < path.size()) {
            const std::wstring name(path.data(), length);
            const bool         plain = name.compare(0, 4, L"\\\\?\\") == 0 && name.size() > 6 && name[5] == L':' && name.size() < MAX_PATH + 4;
            return plain ? name.substr(4) : name;  // a loader may not know the longer form
        }
    }
    return L"";
}

class kept_file : public kept_library {
public:
    kept_file(handle file, std::wstring name) : file(std::move(file)), name(std::move(name)) {}

    // What the library needs itself comes from the system's folder alone, or is loaded already: not from where this program,
    // or its user, happens to stand.
    void * load() const override {
        SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOOPENFILEERRORBOX);  // a line, and no window
        const HMODULE loaded = LoadLibraryExW(name.c_str(), nullptr, LOAD_LIBRARY_SEARCH_SYSTEM32);
        if (loaded == nullptr) {
            const DWORD why  = GetLastError();
            const bool  lack = why == ERROR_MOD_NOT_FOUND || why == ERROR_PROC_NOT_FOUND;
            throw std::runtime_error("the engine's library " + narrow(name.c_str()) + " cannot be loaded: error " + std::to_string(why) +
                                     (lack ? "; it needs a recent Visual C++ Redistributable of Microsoft's" : ""));
        }
        return (void *) loaded;
    }

private:
    handle       file;
    std::wstring name;
};

constexpr int TRIES = 3;  // of starts that come at once each may hold what the other has to replace

// The library in the cache; null if this place does not do.
std::unique_ptr<kept_library> at_place(std::wstring path, const archive & container, const member & m, const listed_library & wanted) {
    std::vector<handle> way;  // held, so that none of them becomes another while something is written there
    make_way(path);
    for (const std::string & name : { std::string("llamafile-format"), std::string("rt"), wanted.sha256 }) {
        path += L"\\" + widen(name);
        CreateDirectoryW(path.c_str(), nullptr);
        way.push_back(open_itself(path, true));
        if (!way.back()) {
            return nullptr;
        }
    }
    path += L"\\" + widen(wanted.name);
    handle file = open_kept(path, wanted);
    if (!file) {
        check_member(container, m, wanted);
    }
    for (int tries = 0; !file && tries < TRIES; tries++) {
        extract(container, m, path);
        file = open_kept(path, wanted);  // also where another start was faster
    }
    const std::wstring name = file ? name_of(file.get()) : L"";
    return name.empty() ? nullptr : std::make_unique<kept_file>(std::move(file), name);
}

}

std::unique_ptr<kept_library> keep(const archive & container, const member & m, const listed_library & wanted) {
    for (const std::wstring & place : places(container)) {
        if (std::unique_ptr<kept_library> found = at_place(place, container, m, wanted)) {
            return found;
        }
    }
    throw std::runtime_error("there is no place for the engine's library; name one with LFF_CACHE");
}

void * function_of(void * library, const char * name) { return (void *) GetProcAddress((HMODULE) library, name); }

}
