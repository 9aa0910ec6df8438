# wasm32-wasi: the toolchain's C++ library comes without exceptions, threads and file systems. It is built again with
# them from the toolchain's own sources. There is one thread: the functions for threads are the C library's stubs.

set(cxx ${LFF_ZIG_LIB}/libcxx)
set(abi ${LFF_ZIG_LIB}/libcxxabi)
set(unwind ${LFF_ZIG_LIB}/libunwind)

# The flags that switch them on are the toolchain's, in the pin.

file(GLOB cxx_sources ${cxx}/src/*.cpp ${cxx}/src/filesystem/*.cpp ${cxx}/src/ryu/*.cpp)
list(FILTER cxx_sources EXCLUDE REGEX "/(strstream|int128_builtins)\\.cpp$")
add_library(wasi-cxx OBJECT ${cxx_sources})
target_include_directories(wasi-cxx PRIVATE ${cxx}/src ${cxx}/libc)
target_compile_definitions(wasi-cxx PRIVATE LIBCXX_BUILDING_LIBCXXABI)
set_source_files_properties(${cxx}/src/filesystem/operations.cpp PROPERTIES  # WASI has no copy_file_range
    COMPILE_OPTIONS "-U_LIBCPP_HAS_MUSL_LIBC;-D_LIBCPP_HAS_MUSL_LIBC=0")

file(GLOB abi_sources ${abi}/src/*.cpp)
list(FILTER abi_sources EXCLUDE REGEX "/cxa_noexception\\.cpp$")
add_library(wasi-abi OBJECT ${abi_sources})
target_include_directories(wasi-abi PRIVATE ${abi}/include ${cxx}/src ${cxx}/include ${unwind}/include)
target_compile_definitions(wasi-abi PRIVATE _LIBCXXABI_BUILDING_LIBRARY _LIBCPP_ENABLE_CXX17_REMOVED_UNEXPECTED_FUNCTIONS
    HAVE___CXA_THREAD_ATEXIT_IMPL)

foreach (target wasi-cxx wasi-abi)
    set_target_properties(${target} PROPERTIES CXX_STANDARD 23 CXX_EXTENSIONS OFF)
    target_compile_definitions(${target} PRIVATE _LIBCPP_BUILDING_LIBRARY)
    target_compile_options(${target} PRIVATE -w)
endforeach()

add_library(wasi-unwind OBJECT ${unwind}/src/Unwind-wasm.c ${CMAKE_CURRENT_SOURCE_DIR}/wasi_exception.c)
target_include_directories(wasi-unwind PRIVATE ${unwind}/include)
target_compile_options(wasi-unwind PRIVATE -fdeclspec -w)

add_library(wasi-runtime STATIC $<TARGET_OBJECTS:wasi-cxx> $<TARGET_OBJECTS:wasi-abi> $<TARGET_OBJECTS:wasi-unwind>)
set(wasi_libraries wasi-runtime)
