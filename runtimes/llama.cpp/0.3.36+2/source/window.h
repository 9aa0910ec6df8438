// Windows onto members of a container: what upstream's file functions are renamed to (redirect.h).
#pragma once

#include <cstdint>
#include <cstdio>
#include <istream>
#include <memory>
#include <streambuf>
#include <string>

#if defined(_WIN32)
#  ifndef NOMINMAX
#    define NOMINMAX
#  endif
#  include <windows.h>
#else
#  include <sys/types.h>
#endif

// Opens a path, UTF-8 on every system. /zip/NAME opens the container and confines the stream to the member.
FILE * lff_fopen(const char * path, const char * mode);
int    lff_fclose(FILE * file);

// Position in bytes from the window's first byte; `origin` SEEK_END counts from the window's end.
int     lff_fseek(FILE * file, int64_t offset, int origin);
int64_t lff_ftell(FILE * file);

#if defined(_WIN32)
BOOL   lff_SetFilePointerEx(HANDLE file, LARGE_INTEGER distance, PLARGE_INTEGER position, DWORD origin);
HANDLE lff_CreateFileMappingA(HANDLE file, LPSECURITY_ATTRIBUTES security, DWORD protect, DWORD high, DWORD low, LPCSTR name);
LPVOID lff_MapViewOfFile(HANDLE mapping, DWORD access, DWORD high, DWORD low, SIZE_T size);
BOOL   lff_UnmapViewOfFile(LPCVOID address);
#else
// Maps `size` bytes of the window from its first byte. Where the system cannot map them (a member off the page
// boundary, a file system without mmap) they are read into memory instead, and stderr says so.
#  if defined(__OpenBSD__)
extern "C" {  // its <sys/mman.h> is read again after the renames, and declares them so
#  endif
int    lff_fileno(FILE * file);  // of a window: a number for lff_mmap and lff_fadvise alone
void * lff_mmap(void * hint, size_t size, int protection, int flags, int fd, off_t offset);
int    lff_munmap(void * address, size_t size);
#  if defined(__OpenBSD__)
}
#  endif
int    lff_fadvise(int fd, off_t offset, off_t size, int advice);
#endif

namespace lff {

// An input stream over lff_fopen, for the sources that use std::ifstream.
class window_buffer : public std::streambuf {
public:
    explicit window_buffer(FILE * file) : file(file) {}
    ~window_buffer() override { close(); }
    void close();
    bool is_open() const { return file != nullptr; }

protected:
    int_type        underflow() override;
    std::streamsize xsgetn(char * out, std::streamsize size) override;
    pos_type        seekoff(off_type offset, std::ios_base::seekdir way, std::ios_base::openmode) override;
    pos_type        seekpos(pos_type position, std::ios_base::openmode mode) override;

private:
    size_t read(char * out, size_t size);
    FILE * file;
    char   buffer[16384];
};

class ifstream : public std::istream {
public:
    ifstream() : std::istream(nullptr) { setstate(std::ios_base::badbit); }
    explicit ifstream(const char * path, std::ios_base::openmode mode = std::ios_base::in);
    explicit ifstream(const std::string & path, std::ios_base::openmode mode = std::ios_base::in)
        : ifstream(path.c_str(), mode) {}
#if defined(_WIN32)
    explicit ifstream(const wchar_t * path, std::ios_base::openmode mode = std::ios_base::in);
#endif
    ifstream(ifstream && other) noexcept;
    bool is_open() const { return buffer && buffer->is_open(); }
    void close();

private:
    std::unique_ptr<window_buffer> buffer;
};

}
