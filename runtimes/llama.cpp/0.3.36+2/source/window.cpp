#include "window.h"

#include "archive.h"
#include "held_file.h"
#include "platform.h"

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#if defined(_WIN32)
#  include <io.h>
#else
#  include <fcntl.h>
#  include <sys/mman.h>
#  include <unistd.h>
#endif

namespace {

struct window {
    uint64_t base = 0;  // offset of the member's first byte in the container
    uint64_t size = 0;
};

// What is confined, by identity. Models are opened by several threads.
std::mutex guard;

template <typename Key> bool find(const std::map<Key, window> & table, Key key, window & found) {
    std::lock_guard<std::mutex> lock(guard);
    const auto it = table.find(key);
    if (it == table.end()) {
        return false;
    }
    found = it->second;
    return true;
}

}

#if defined(_WIN32)

// A stream is one over the whole container: its positions are moved by the member's, and its end is kept here.

namespace {

std::map<FILE *, window>   by_stream;
std::map<intptr_t, window> by_handle;  // of a file or a mapping

intptr_t handle_of(FILE * file) { return _get_osfhandle(_fileno(file)); }

void confine(FILE * file, const window & w) {
    {
        std::lock_guard<std::mutex> lock(guard);
        by_stream[file]            = w;
        by_handle[handle_of(file)] = w;
    }
    lff_fseek(file, 0, SEEK_SET);
}

}

int lff_fclose(FILE * file) {
    {
        std::lock_guard<std::mutex> lock(guard);
        if (by_stream.erase(file)) {
            by_handle.erase(handle_of(file));
        }
    }
    return fclose(file);
}

int lff_fseek(FILE * file, int64_t offset, int origin) {
    window w;
    if (!find(by_stream, file, w)) {
        return _fseeki64(file, offset, origin);
    }
    int64_t position = offset;
    if (origin == SEEK_CUR) {
        position += _ftelli64(file) - (int64_t) w.base;
    } else if (origin == SEEK_END) {
        position += (int64_t) w.size;
    }
    if (position < 0) {
        errno = EINVAL;
        return -1;
    }
    return _fseeki64(file, (int64_t) w.base + position, SEEK_SET);
}

int64_t lff_ftell(FILE * file) {
    window        w;
    const int64_t position = _ftelli64(file);
    return position >= 0 && find(by_stream, file, w) ? position - (int64_t) w.base : position;
}

BOOL lff_SetFilePointerEx(HANDLE file, LARGE_INTEGER distance, PLARGE_INTEGER position, DWORD origin) {
    window w;
    if (!find(by_handle, (intptr_t) file, w)) {
        return SetFilePointerEx(file, distance, position, origin);
    }
    if (origin == FILE_BEGIN) {
        distance.QuadPart += (LONGLONG) w.base;
    } else if (origin == FILE_END) {
        distance.QuadPart += (LONGLONG) (w.base + w.size);
        origin = FILE_BEGIN;
    }
    LARGE_INTEGER reached;
    if (!SetFilePointerEx(file, distance, &reached, origin)) {
        return FALSE;
    }
    if (position != nullptr) {
        position->QuadPart = reached.QuadPart - (LONGLONG) w.base;
    }
    return TRUE;
}

HANDLE lff_CreateFileMappingA(HANDLE file, LPSECURITY_ATTRIBUTES security, DWORD protect, DWORD high, DWORD low, LPCSTR name) {
    HANDLE mapping = CreateFileMappingA(file, security, protect, high, low, name);
    window w;
    if (mapping != nullptr && find(by_handle, (intptr_t) file, w)) {
        std::lock_guard<std::mutex> lock(guard);
        by_handle[(intptr_t) mapping] = w;
    }
    return mapping;
}

LPVOID lff_MapViewOfFile(HANDLE mapping, DWORD access, DWORD high, DWORD low, SIZE_T size) {
    window w;
    if (!find(by_handle, (intptr_t) mapping, w)) {
        return MapViewOfFile(mapping, access, high, low, size);
    }
    // Windows maps from multiples of its allocation granularity, 64 KiB, only. Members of format 1.0 stand on them.
    // A view that begins earlier, at the multiple below, is mapped for the others, and upstream is given its inside.
    SYSTEM_INFO system;
    GetSystemInfo(&system);
    const uint64_t lead  = w.base % system.dwAllocationGranularity;
    const uint64_t begin = w.base - lead;
    char * view = (char *) MapViewOfFile(mapping, access, (DWORD) (begin >> 32), (DWORD) begin, (SIZE_T) (w.size + lead));
    return view == nullptr ? nullptr : view + lead;
}

BOOL lff_UnmapViewOfFile(LPCVOID address) {
    SYSTEM_INFO system;
    GetSystemInfo(&system);
    const uintptr_t inside = (uintptr_t) address;
    return UnmapViewOfFile((LPCVOID) (inside - inside % system.dwAllocationGranularity));
}

#else

// A stream over a member counts from its first byte and ends with it by itself (held_file.h). It has no descriptor, so
// it is given a number for one, by which the member is mapped.

namespace {

constexpr int FIRST_NUMBER = 1 << 30;  // no descriptor is as large

std::map<FILE *, int>  numbers;
std::map<int, window>  by_number;
int                    next_number = FIRST_NUMBER;

void confine(FILE * file, const window & w) {
    std::lock_guard<std::mutex> lock(guard);
    numbers[file]          = next_number;
    by_number[next_number] = w;
    next_number            = next_number == INT_MAX ? FIRST_NUMBER : next_number + 1;
}

// Ranges that were read into memory instead of mapped. They live as long as the process: upstream unmaps the unused
// head and tail of a model after loading, which has no counterpart for them.
std::map<char *, size_t> copies;

void * read_copy(uint64_t base, size_t size, const char * why) {
    fprintf(stderr, "llamafile: %s; reading %zu bytes of weights into memory instead of mapping them\n", why, size);
    void * copy = nullptr;
    if (posix_memalign(&copy, 65536, size) != 0) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    if (!lff::container().file->read(base, copy, size)) {
        free(copy);
        errno = EIO;
        return MAP_FAILED;
    }
    std::lock_guard<std::mutex> lock(guard);
    copies[(char *) copy] = size;
    return copy;
}

}

int lff_fclose(FILE * file) {
    {
        std::lock_guard<std::mutex> lock(guard);
        const auto it = numbers.find(file);
        if (it != numbers.end()) {
            by_number.erase(it->second);
            numbers.erase(it);
        }
    }
    return fclose(file);
}

int     lff_fseek(FILE * file, int64_t offset, int origin) { return fseeko(file, (off_t) offset, origin); }
int64_t lff_ftell(FILE * file) { return ftello(file); }

int lff_fileno(FILE * file) {
    std::lock_guard<std::mutex> lock(guard);
    const auto it = numbers.find(file);
    return it == numbers.end() ? fileno(file) : it->second;
}

void * lff_mmap(void * hint, size_t size, int protection, int flags, int fd, off_t offset) {
    window w;
    if (!find(by_number, fd, w)) {
        return mmap(hint, size, protection, flags, fd, offset);
    }
    const uint64_t begin = w.base + (uint64_t) offset;
#if defined(__wasi__)
    return read_copy(begin, size, "this system has no mmap");
#else
    if (begin % (uint64_t) sysconf(_SC_PAGESIZE) != 0) {
        return read_copy(begin, size, "the weights do not begin on a page boundary");
    }
    void * address = mmap(hint, size, protection, flags, (int) lff::container().file->descriptor(), (off_t) begin);
    if (address == MAP_FAILED && (errno == ENODEV || errno == EACCES || errno == EINVAL)) {
        return read_copy(begin, size, "this file system cannot map files");
    }
    return address;
#endif
}

int lff_munmap(void * address, size_t size) {
    {
        std::lock_guard<std::mutex> lock(guard);
        auto above = copies.upper_bound((char *) address);
        if (above != copies.begin() && (char *) address < std::prev(above)->first + std::prev(above)->second) {
            return 0;
        }
    }
    return munmap(address, size);
}

int lff_fadvise(int fd, off_t offset, off_t size, int advice) {
#if defined(__linux__) || defined(__FreeBSD__) || defined(__NetBSD__)
    window w;
    if (!find(by_number, fd, w)) {
        return posix_fadvise(fd, offset, size, advice);
    }
    const uint64_t begin = (uint64_t) offset;
    const uint64_t end   = size == 0 ? w.size : begin + (uint64_t) size;
    return posix_fadvise((int) lff::container().file->descriptor(), (off_t) (w.base + begin), (off_t) (end > w.size ? w.size - begin : end - begin), advice);
#else
    (void) fd, (void) offset, (void) size, (void) advice;
    return 0;
#endif
}

#endif

FILE * lff_fopen(const char * path, const char * mode) {
    if (!lff::is_member_path(path)) {
        return lff::open_file(path, mode);
    }
    const lff::archive & from   = lff::container();
    const lff::member *  member = from.find(path + strlen(lff::MEMBER_PREFIX));
    if (member == nullptr || strchr(mode, 'w') || strchr(mode, 'a') || strchr(mode, '+')) {
        errno = member == nullptr ? ENOENT : EROFS;
        return nullptr;
    }
    FILE * file = from.file->stream(member->offset, member->size);
    if (file != nullptr) {
        confine(file, { member->offset, member->size });
    }
    return file;
}

namespace lff {

void window_buffer::close() {
    if (file != nullptr) {
        lff_fclose(file);
        file = nullptr;
    }
    setg(buffer, buffer, buffer);
}

size_t window_buffer::read(char * out, size_t size) {
    if (file == nullptr) {
        return 0;
    }
#if defined(_WIN32)  // the stream itself knows no end but the container's
    window w;
    if (find(by_stream, file, w)) {
        const int64_t position = lff_ftell(file);
        if (position < 0 || (uint64_t) position >= w.size) {
            return 0;
        }
        const uint64_t rest = w.size - (uint64_t) position;
        size = size < rest ? size : (size_t) rest;
    }
#endif
    return fread(out, 1, size, file);
}

window_buffer::int_type window_buffer::underflow() {
    const size_t got = read(buffer, sizeof buffer);
    setg(buffer, buffer, buffer + got);
    return got == 0 ? traits_type::eof() : traits_type::to_int_type(buffer[0]);
}

std::streamsize window_buffer::xsgetn(char * out, std::streamsize size) {
    std::streamsize done = 0;
    const std::streamsize held = std::min<std::streamsize>(size, egptr() - gptr());
    memcpy(out, gptr(), (size_t) held);
    gbump((int) held);
    done += held;
    while (done < size) {
        const size_t got = read(out + done, (size_t) (size - done));
        if (got == 0) {
            break;
        }
        done += (std::streamsize) got;
    }
    return done;
}

window_buffer::pos_type window_buffer::seekoff(off_type offset, std::ios_base::seekdir way, std::ios_base::openmode) {
    if (file == nullptr) {
        return pos_type(off_type(-1));
    }
    const int     origin = way == std::ios_base::beg ? SEEK_SET : way == std::ios_base::cur ? SEEK_CUR : SEEK_END;
    const int64_t held   = egptr() - gptr();
    if (lff_fseek(file, origin == SEEK_CUR ? offset - held : offset, origin) != 0) {
        return pos_type(off_type(-1));
    }
    setg(buffer, buffer, buffer);
    return pos_type(off_type(lff_ftell(file)));
}

window_buffer::pos_type window_buffer::seekpos(pos_type position, std::ios_base::openmode mode) {
    return seekoff(off_type(position), std::ios_base::beg, mode);
}

ifstream::ifstream(const char * path, std::ios_base::openmode) : std::istream(nullptr) {
    FILE * file = lff_fopen(path, "rb");
    buffer      = std::make_unique<window_buffer>(file);
    rdbuf(buffer.get());
    if (file == nullptr) {
        setstate(std::ios_base::failbit);
    }
}

#if defined(_WIN32)
ifstream::ifstream(const wchar_t * path, std::ios_base::openmode mode) : ifstream(lff::narrow(path).c_str(), mode) {}
#endif

ifstream::ifstream(ifstream && other) noexcept : std::istream(nullptr), buffer(std::move(other.buffer)) {
    std::istream::move(other);  // state and flags, not the buffer
    set_rdbuf(buffer.get());
    other.set_rdbuf(nullptr);
}

void ifstream::close() {
    if (buffer) {
        buffer->close();
    }
}

}
