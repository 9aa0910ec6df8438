#include "held_file.h"

#include "archive.h"
#include "platform.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>

#if defined(_WIN32)
#  define NOMINMAX
#  include <windows.h>
#  include <fcntl.h>
#  include <io.h>
#else
#  include <fcntl.h>
#  include <sys/stat.h>
#  include <unistd.h>
#endif

namespace lff {
namespace {

// What tells a file and its state. Times in nanoseconds since 1970.
struct identity {
    uint64_t device = 0, inode = 0, size = 0;
    int64_t  mtime = 0, ctime = 0;
};

bool same(const identity & a, const identity & b) {
    return a.device == b.device && a.inode == b.inode && a.size == b.size && a.mtime == b.mtime && a.ctime == b.ctime;
}

[[noreturn]] void malformed() {
    throw archive_error("LFF_CONTAINER_FD is not N:DEVICE:INODE:SIZE:MTIME:CTIME; nothing was opened");
}

// A decimal number as a program writes it, from `at` up to `end`.
uint64_t decimal(const std::string & text, size_t at, size_t end) {
    if (at == end || (text[at] == '0' && end - at > 1)) {
        malformed();
    }
    uint64_t value = 0;
    for (; at < end; at++) {
        const uint64_t digit = (uint64_t) (text[at] - '0');
        if (text[at] < '0' || text[at] > '9' || value > (UINT64_MAX - digit) / 10) {
            malformed();
        }
        value = value * 10 + digit;
    }
    return value;
}

int64_t signed_decimal(const std::string & text, size_t at, size_t end) {
    const bool     negative = at < end && text[at] == '-';
    const uint64_t value    = decimal(text, at + negative, end);
    if (value > INT64_MAX) {
        malformed();
    }
    return negative ? -(int64_t) value : (int64_t) value;
}

struct handed_over {
    uint64_t number;
    identity of;
};

handed_over parse(const std::string & said) {
    size_t at[7] = { 0 };  // where each field begins, and behind the last
    int    fields = 0;
    for (size_t i = 0; i <= said.size(); i++) {
        if (i == said.size() || said[i] == ':') {
            if (++fields > 6) {
                malformed();
            }
            at[fields] = i + 1;
        }
    }
    if (fields != 6) {
        malformed();
    }
    const auto number = [&](int i) { return decimal(said, at[i], at[i + 1] - 1); };
    const auto time   = [&](int i) { return signed_decimal(said, at[i], at[i + 1] - 1); };
    return { number(0), { number(1), number(2), number(3), time(4), time(5) } };
}

#if defined(_WIN32)

int64_t nanoseconds(uint64_t ticks) { return ((int64_t) ticks - 116444736000000000) * 100; }  // of 100 ns since 1601

bool identify(intptr_t handle, identity & found) {
    BY_HANDLE_FILE_INFORMATION file;
    FILE_BASIC_INFO            times;
    if (GetFileType((HANDLE) handle) != FILE_TYPE_DISK || !GetFileInformationByHandle((HANDLE) handle, &file) ||
        (file.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0 ||
        !GetFileInformationByHandleEx((HANDLE) handle, FileBasicInfo, &times, sizeof times)) {
        return false;
    }
    found.device = file.dwVolumeSerialNumber;
    found.inode  = (uint64_t) file.nFileIndexHigh << 32 | file.nFileIndexLow;
    found.size   = (uint64_t) file.nFileSizeHigh << 32 | file.nFileSizeLow;
    found.mtime  = nanoseconds((uint64_t) times.LastWriteTime.QuadPart);
    found.ctime  = nanoseconds((uint64_t) times.ChangeTime.QuadPart);
    return true;
}

void close_on_exec(intptr_t handle) { SetHandleInformation((HANDLE) handle, HANDLE_FLAG_INHERIT, 0); }

#else

int64_t nanoseconds(const struct timespec & time) { return (int64_t) time.tv_sec * 1000000000 + time.tv_nsec; }

bool identify(intptr_t fd, identity & found) {
    struct stat info;
    if (fstat((int) fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        return false;
    }
#if defined(__APPLE__)
    const struct timespec & modified = info.st_mtimespec, & changed = info.st_ctimespec;
#else
    const struct timespec & modified = info.st_mtim, & changed = info.st_ctim;
#endif
    found = { (uint64_t) info.st_dev, (uint64_t) info.st_ino, (uint64_t) info.st_size, nanoseconds(modified), nanoseconds(changed) };
    return true;
}

void close_on_exec(intptr_t fd) { fcntl((int) fd, F_SETFD, FD_CLOEXEC); }

// A stream over a range: what C's streams ask of, by a position of its own.
struct range_stream {
    std::shared_ptr<const held_file> file;
    uint64_t                         base, size, at = 0;
    char                             buffer[65536];
};

ssize_t read_range(range_stream * range, char * out, size_t count) {
    const uint64_t rest = range->at < range->size ? range->size - range->at : 0;
    const size_t   most = count < rest ? count : (size_t) rest;
    if (!range->file->read(range->base + range->at, out, most)) {
        errno = EIO;
        return -1;
    }
    range->at += most;
    return (ssize_t) most;
}

int64_t seek_range(range_stream * range, int64_t offset, int origin) {
    const int64_t from = origin == SEEK_SET ? 0 : origin == SEEK_CUR ? (int64_t) range->at : (int64_t) range->size;
    if (from + offset < 0) {
        errno = EINVAL;
        return -1;
    }
    range->at = (uint64_t) (from + offset);
    return from + offset;
}

int close_range_stream(void * cookie) {
    delete (range_stream *) cookie;
    return 0;
}

#if defined(__linux__) || defined(__FreeBSD__) || defined(__wasi__)

FILE * open_range(range_stream * range) {
    cookie_io_functions_t functions = {};
    functions.read  = [](void * cookie, char * out, size_t count) { return read_range((range_stream *) cookie, out, count); };
    functions.seek  = [](void * cookie, auto * offset, int origin) {
        const int64_t reached = seek_range((range_stream *) cookie, (int64_t) *offset, origin);
        *offset = reached < 0 ? *offset : reached;
        return reached < 0 ? -1 : 0;
    };
    functions.close = close_range_stream;
    return fopencookie(range, "rb", functions);
}

#elif defined(__NetBSD__)

FILE * open_range(range_stream * range) {
    return funopen2(
        range, [](void * cookie, void * out, size_t count) { return read_range((range_stream *) cookie, (char *) out, count); }, nullptr,
        [](void * cookie, off_t offset, int origin) { return (off_t) seek_range((range_stream *) cookie, offset, origin); }, nullptr,
        close_range_stream);
}

#else  // macOS, OpenBSD

FILE * open_range(range_stream * range) {
    return funopen(
        range, [](void * cookie, char * out, int count) { return (int) read_range((range_stream *) cookie, out, (size_t) count); }, nullptr,
        [](void * cookie, decltype(lseek(0, 0, 0)) offset, int origin) {
            return (decltype(offset)) seek_range((range_stream *) cookie, offset, origin);
        },
        close_range_stream);
}

#endif
#endif

}

bool held_file::measure() {
    identity found;
    if (!identify(handle, found)) {
        return false;
    }
    length = found.size;
    close_on_exec(handle);
    return true;
}

std::shared_ptr<held_file> held_file::inherited(const std::string & said) {
    const handed_over          wanted = parse(said);
    std::shared_ptr<held_file> file;
    identity                   found;
#if !defined(_WIN32)
    const int mode = wanted.number > 2 && wanted.number < INT32_MAX ? fcntl((int) wanted.number, F_GETFL) : -1;
    if (mode != -1 && (mode & O_ACCMODE) != O_WRONLY)
#endif
    {
        if (identify((intptr_t) wanted.number, found)) {
            file.reset(new held_file((intptr_t) wanted.number));
        }
    }
    if (file == nullptr || !file->measure()) {
        throw archive_error("LFF_CONTAINER_FD: no open file to read was handed over; nothing was opened in its place");
    }
    if (!same(found, wanted.of)) {
        throw archive_error("LFF_CONTAINER_FD: this is not, or no longer, the file that was verified; it was not started");
    }
    return file;
}

std::string held_file::identity_text() const {
    identity found;
    if (!identify(handle, found)) {
        throw archive_error("the file cannot be looked at any more");
    }
    return std::to_string(handle) + ":" + std::to_string(found.device) + ":" + std::to_string(found.inode) + ":" + std::to_string(found.size) + ":" +
           std::to_string(found.mtime) + ":" + std::to_string(found.ctime);
}

#if defined(_WIN32)

void held_file::keep_on_exec(bool keep) const { SetHandleInformation((HANDLE) handle, HANDLE_FLAG_INHERIT, keep ? HANDLE_FLAG_INHERIT : 0); }

std::shared_ptr<held_file> held_file::open(const std::string & path) {
    const DWORD  shared = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    const HANDLE opened = CreateFileW(widen(path).c_str(), GENERIC_READ, shared, nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
    if (opened == INVALID_HANDLE_VALUE) {
        return nullptr;
    }
    std::shared_ptr<held_file> file(new held_file((intptr_t) opened));
    return file->measure() ? file : nullptr;
}

held_file::~held_file() { CloseHandle((HANDLE) handle); }

bool held_file::read(uint64_t offset, void * out, size_t count) const {
    while (count > 0) {
        OVERLAPPED  where = {};
        const DWORD piece = count < (1u << 30) ? (DWORD) count : 1u << 30;
        DWORD       got   = 0;
        where.Offset     = (DWORD) offset;
        where.OffsetHigh = (DWORD) (offset >> 32);
        if (!ReadFile((HANDLE) handle, out, piece, &got, &where) || got == 0) {
            return false;
        }
        out = (char *) out + got;
        offset += got;
        count -= got;
    }
    return true;
}

FILE * held_file::stream(uint64_t, uint64_t) const {
    const HANDLE again = ReOpenFile((HANDLE) handle, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, 0);
    if (again == INVALID_HANDLE_VALUE) {
        return nullptr;
    }
    const int number = _open_osfhandle((intptr_t) again, _O_RDONLY | _O_BINARY | _O_NOINHERIT);
    if (number == -1) {
        CloseHandle(again);
        return nullptr;
    }
    FILE * file = _fdopen(number, "rb");
    if (file == nullptr) {
        _close(number);
    }
    return file;
}

#else

void held_file::keep_on_exec(bool keep) const { fcntl((int) handle, F_SETFD, keep ? 0 : FD_CLOEXEC); }


std::shared_ptr<held_file> held_file::open(const std::string & path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe must not hold us up
    if (fd == -1) {
        return nullptr;
    }
    std::shared_ptr<held_file> file(new held_file(fd));
    return file->measure() ? file : nullptr;
}

held_file::~held_file() { close((int) handle); }

bool held_file::read(uint64_t offset, void * out, size_t count) const {
    while (count > 0) {
        const ssize_t got = pread((int) handle, out, count < (1u << 30) ? count : 1u << 30, (off_t) offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        out = (char *) out + got;
        offset += (uint64_t) got;
        count -= (size_t) got;
    }
    return true;
}

FILE * held_file::stream(uint64_t offset, uint64_t count) const {
    range_stream * range = new range_stream{ shared_from_this(), offset, count };
    FILE *         file  = open_range(range);
    if (file == nullptr) {
        delete range;
        return nullptr;
    }
    setvbuf(file, range->buffer, _IOFBF, sizeof range->buffer);
    return file;
}

#endif

}
