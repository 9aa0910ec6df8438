#include "window.h"

#include "archive.h"
#include "platform.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

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

// Streams, descriptors and handles that are confined, by identity. Models are opened by several threads.
std::mutex                 guard;
std::map<FILE *, window>   by_stream;
std::map<intptr_t, window> by_descriptor;  // POSIX file descriptor, or Windows file or mapping handle

template <typename Key> bool find(const std::map<Key, window> & table, Key key, window & found) {
    std::lock_guard<std::mutex> lock(guard);
    const auto it = table.find(key);
    if (it == table.end()) {
        return false;
    }
    found = it->second;
    return true;
}

intptr_t descriptor(FILE * file) {
#if defined(_WIN32)
    return _get_osfhandle(_fileno(file));
#else
    return fileno(file);
#endif
}

int plain_seek(FILE * file, int64_t offset, int origin) {
#if defined(_WIN32)
    return _fseeki64(file, offset, origin);
#else
    return fseeko(file, offset, origin);
#endif
}

int64_t plain_tell(FILE * file) {
#if defined(_WIN32)
    return _ftelli64(file);
#else
    return ftello(file);
#endif
}

}

FILE * lff_fopen(const char * path, const char * mode) {
    const lff::member * member = nullptr;
    if (lff::is_member_path(path)) {
        member = lff::container().find(path + strlen(lff::MEMBER_PREFIX));
        if (member == nullptr || strchr(mode, 'w') || strchr(mode, 'a') || strchr(mode, '+')) {
            errno = member == nullptr ? ENOENT : EROFS;
            return nullptr;
        }
    }
    FILE * file = lff::open_file(member ? lff::container().path : path, mode);
    if (file == nullptr || member == nullptr) {
        return file;
    }
    {
        std::lock_guard<std::mutex> lock(guard);
        by_stream[file]                 = { member->offset, member->size };
        by_descriptor[descriptor(file)] = { member->offset, member->size };
    }
    if (lff_fseek(file, 0, SEEK_SET) != 0) {
        lff_fclose(file);
        return nullptr;
    }
    return file;
}

int lff_fclose(FILE * file) {
    {
        std::lock_guard<std::mutex> lock(guard);
        if (by_stream.erase(file)) {
            by_descriptor.erase(descriptor(file));
        }
    }
    return fclose(file);
}

int lff_fseek(FILE * file, int64_t offset, int origin) {
    window w;
    if (!find(by_stream, file, w)) {
        return plain_seek(file, offset, origin);
    }
    int64_t position = offset;
    if (origin == SEEK_CUR) {
        position += plain_tell(file) - (int64_t) w.base;
    } else if (origin == SEEK_END) {
        position += (int64_t) w.size;
    }
    if (position < 0) {
        errno = EINVAL;
        return -1;
    }
    return plain_seek(file, (int64_t) w.base + position, SEEK_SET);
}

int64_t lff_ftell(FILE * file) {
    window        w;
    const int64_t position = plain_tell(file);
    return position >= 0 && find(by_stream, file, w) ? position - (int64_t) w.base : position;
}

#if defined(_WIN32)

BOOL lff_SetFilePointerEx(HANDLE file, LARGE_INTEGER distance, PLARGE_INTEGER position, DWORD origin) {
    window w;
    if (!find(by_descriptor, (intptr_t) file, w)) {
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
    if (mapping != nullptr && find(by_descriptor, (intptr_t) file, w)) {
        std::lock_guard<std::mutex> lock(guard);
        by_descriptor[(intptr_t) mapping] = w;
    }
    return mapping;
}

LPVOID lff_MapViewOfFile(HANDLE mapping, DWORD access, DWORD high, DWORD low, SIZE_T size) {
    window w;
    if (!find(by_descriptor, (intptr_t) mapping, w)) {
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

namespace {

// Ranges that were read into memory instead of mapped. They live as long as the process: upstream unmaps the unused
// head and tail of a model after loading, which has no counterpart for them.
std::map<char *, size_t> copies;

void * read_copy(int fd, uint64_t base, size_t size, const char * why) {
    fprintf(stderr, "llamafile: %s; reading %zu bytes of weights into memory instead of mapping them\n", why, size);
    void * copy = nullptr;
    if (posix_memalign(&copy, 65536, size) != 0) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    size_t done = 0;
    while (done < size) {
        const size_t  piece = size - done < (1u << 26) ? size - done : (1u << 26);
        const ssize_t got   = pread(fd, (char *) copy + done, piece, (off_t) (base + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            free(copy);
            errno = got < 0 ? errno : EIO;
            return MAP_FAILED;
        }
        done += (size_t) got;
    }
    std::lock_guard<std::mutex> lock(guard);
    copies[(char *) copy] = size;
    return copy;
}

}

void * lff_mmap(void * hint, size_t size, int protection, int flags, int fd, off_t offset) {
    window w;
    if (!find(by_descriptor, (intptr_t) fd, w)) {
        return mmap(hint, size, protection, flags, fd, offset);
    }
#if defined(__wasi__)
    return read_copy(fd, w.base + (uint64_t) offset, size, "this system has no mmap");
#else
    const uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE);
    if ((w.base + (uint64_t) offset) % page != 0) {
        return read_copy(fd, w.base + (uint64_t) offset, size, "the weights do not begin on a page boundary");
    }
    void * address = mmap(hint, size, protection, flags, fd, (off_t) (w.base + (uint64_t) offset));
    if (address == MAP_FAILED && (errno == ENODEV || errno == EACCES || errno == EINVAL)) {
        return read_copy(fd, w.base + (uint64_t) offset, size, "this file system cannot map files");
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
    if (!find(by_descriptor, (intptr_t) fd, w)) {
        return posix_fadvise(fd, offset, size, advice);
    }
    const uint64_t begin = (uint64_t) offset;
    const uint64_t end   = size == 0 ? w.size : begin + (uint64_t) size;
    return posix_fadvise(fd, (off_t) (w.base + begin), (off_t) (end > w.size ? w.size - begin : end - begin), advice);
#else
    (void) fd, (void) offset, (void) size, (void) advice;
    return 0;
#endif
}

#endif

namespace lff {

void window_buffer::close() {
    if (file != nullptr) {
        lff_fclose(file);
        file = nullptr;
    }
    setg(buffer, buffer, buffer);
}

// The stream itself knows no end but the container's, so the window's is kept here.
size_t window_buffer::read(char * out, size_t size) {
    if (file == nullptr) {
        return 0;
    }
    window w;
    if (find(by_stream, file, w)) {
        const int64_t position = lff_ftell(file);
        if (position < 0 || (uint64_t) position >= w.size) {
            return 0;
        }
        const uint64_t rest = w.size - (uint64_t) position;
        size = size < rest ? size : (size_t) rest;
    }
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
