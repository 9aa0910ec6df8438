// Forced in front of the few upstream sources that open model files (see CMakeLists.txt), instead of a patch.
//
// In those sources a file is opened, sought, told, mapped and closed through the functions of window.h, so that a path
// /zip/NAME is a window onto one member of the container, which is never opened again: offsets count from the member's
// first byte, the end is the member's end, and only the member's own range is mapped. Other paths behave as before.
#pragma once

#if defined(__cplusplus)

#include <cstdio>
#include <fstream>
#include <istream>

#if defined(_WIN32)
#  ifndef NOMINMAX
#    define NOMINMAX
#  endif
#  include <windows.h>
#  include <io.h>
#else
#  include <fcntl.h>
#  include <unistd.h>
#  if !defined(__wasi__) || defined(_WASI_EMULATED_MMAN)
#    include <sys/mman.h>
#  endif
#endif

#include "ggml.h"
#include "window.h"

namespace std {
using ::lff_fclose;
using lff_ifstream = ::lff::ifstream;
}

#define ggml_fopen lff_fopen
#define fclose     lff_fclose
#define ifstream   lff_ifstream

#if defined(_WIN32)
#  define _ftelli64          lff_ftell
#  define _fseeki64          lff_fseek
#  define SetFilePointerEx   lff_SetFilePointerEx
#  undef  CreateFileMapping
#  define CreateFileMappingA lff_CreateFileMappingA
#  define MapViewOfFile      lff_MapViewOfFile
#  define UnmapViewOfFile    lff_UnmapViewOfFile
#else
#  define ftello             lff_ftell
#  define fseeko             lff_fseek
#  undef  fileno
#  define fileno             lff_fileno
#  define mmap               lff_mmap
#  define munmap             lff_munmap
#  define posix_fadvise      lff_fadvise
#endif

#endif
