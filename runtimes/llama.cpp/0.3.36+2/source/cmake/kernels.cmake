# The CPU kernels. Sets kernel_sources and kernel_libraries for the executable.

set(kernel_sources cpu_level.cpp)
set(kernel_libraries)

# Macros by which a compiler says what the processor can do. Without them the kernels' portable C remains, everywhere.
set(instruction_macros __SSE__ __SSE2__ __SSE3__ __SSSE3__ __SSE4_1__ __SSE4_2__ __AVX__ __AVX2__ __AVX512F__ __FMA__ __F16C__ __ARM_NEON
    __ARM_FEATURE_FMA __ARM_FEATURE_DOTPROD __ARM_FEATURE_SVE __ARM_FEATURE_FP16_VECTOR_ARITHMETIC __riscv_v_intrinsic __riscv_zfh
    __riscv_zfhmin __riscv_zvfh __wasm_simd128__ __VXE__ __VXE2__ __VX__)

if (LFF_REFERENCE)
    foreach (target ggml-cpu ggml-base)
        foreach (macro ${instruction_macros})
            target_compile_options(${target} PRIVATE -U${macro})
        endforeach()
        if (LFF_TARGET MATCHES "x86_64")
            target_compile_options(${target} PRIVATE -D_mm_pause=__builtin_ia32_pause)  # declared by a header that needs __SSE__
        endif()
    endforeach()
else()
    # Several levels in one executable: see levels.cpp. The first copy keeps the names but for the one that levels.cpp takes.
    string(REGEX MATCH "x86_64|aarch64|riscv64" family ${LFF_TARGET})
    file(STRINGS ${LFF_SYMBOLS} symbols REGEX "^(${family} )?[A-Za-z0-9_]+$")
    list(TRANSFORM symbols REPLACE "^${family} " "")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${LFF_SYMBOLS})
    get_target_property(kernel_folder ggml-cpu SOURCE_DIR)
    get_directory_property(kernel_definitions DIRECTORY ${kernel_folder} COMPILE_DEFINITIONS)
    get_target_property(kernel_files ggml-cpu SOURCES)
    list(FILTER kernel_files INCLUDE REGEX "\\.(c|cpp)$")
    set(levels)

    # What every processor of the family has; further arguments are options of the compiler.
    macro(first_level level)
        target_compile_definitions(ggml-cpu PRIVATE ggml_backend_cpu_reg=ggml_backend_cpu_reg_${level})
        target_compile_options(ggml-cpu PRIVATE ${ARGN})
        set(levels "LFF_LEVEL(${level})\n")
    endmacro()

    # A further copy: its options, behind FILES further sources.
    function(next_level level)
        cmake_parse_arguments(PARSE_ARGV 1 more "" "" "FILES")
        set(header ${CMAKE_CURRENT_BINARY_DIR}/kernels_${level}.h)
        set(text "#define ggml_backend_cpu_reg ggml_backend_cpu_reg_${level}\n#define ggml ggml_ns_${level}\n")
        foreach (symbol ${symbols})
            string(APPEND text "#define ${symbol} ${symbol}_${level}\n")
        endforeach()
        file(CONFIGURE OUTPUT ${header} CONTENT "${text}" @ONLY)

        set(files ${kernel_files} ${more_FILES})
        list(TRANSFORM files PREPEND ${kernel_folder}/)
        add_library(kernels-${level} STATIC ${files})
        foreach (property INCLUDE_DIRECTORIES COMPILE_DEFINITIONS COMPILE_FEATURES)
            get_target_property(value ggml-cpu ${property})
            if (value)
                list(FILTER value EXCLUDE REGEX "^ggml_backend_cpu_reg=")
                set_target_properties(kernels-${level} PROPERTIES ${property} "${value}")
            endif()
        endforeach()
        target_include_directories(kernels-${level} PRIVATE ${kernel_folder} ${kernel_folder}/ggml-cpu)
        target_compile_definitions(kernels-${level} PRIVATE ${kernel_definitions})
        target_link_libraries(kernels-${level} PRIVATE ggml-base)
        target_compile_options(kernels-${level} PRIVATE -O3 ${more_UNPARSED_ARGUMENTS} "SHELL:-include ${header}")
        set(levels "${levels}LFF_LEVEL(${level})\n" PARENT_SCOPE)
        set(kernel_libraries ${kernel_libraries} kernels-${level} PARENT_SCOPE)
    endfunction()

    if (LFF_TARGET MATCHES "x86_64")
        first_level(v1)
        next_level(v3 -mcpu=x86_64_v3)
        next_level(v3_vnni -mcpu=x86_64_v3+avxvnni)
        next_level(v4 -mcpu=x86_64_v4+avx512vnni+avx512vbmi+avx512bf16)
        if (LFF_TARGET MATCHES "^(linux|windows)-")  # elsewhere the system does not lend tiles to this engine
            next_level(v4_amx -mcpu=x86_64_v4+avx512vnni+avx512vbmi+avx512bf16+amx_tile+amx_int8)
        endif()
    elseif (LFF_TARGET STREQUAL "macos-aarch64")
        first_level(v8_2 -mcpu=apple_m1)  # every Mac of that kind has at least this processor
        next_level(v8_6 -mcpu=apple_m1+i8mm)
    elseif (LFF_TARGET MATCHES "aarch64")
        # Not SVE: upstream's kernels for it want vectors of 256 bits, and most processors that have it have 128.
        first_level(v8)
        next_level(v8_2 -mcpu=generic+dotprod+fullfp16)
        next_level(v8_6 -mcpu=generic+dotprod+fullfp16+i8mm)
    elseif (LFF_TARGET MATCHES "riscv64")
        # The compiler announces vector intrinsics that the baseline processor lacks. Upstream's flags for the family are not
        # this compiler's, so it is configured as unknown (runtime.yaml), and the kernels for vectors are named here.
        set(without -U__riscv_v_intrinsic -U__riscv_zfh -U__riscv_zfhmin -U__riscv_zvfh)
        target_compile_options(ggml-base PRIVATE ${without})
        first_level(rv64gc ${without})
        next_level(rv64gcv -mcpu=baseline_rv64+v FILES ggml-cpu/arch/riscv/quants.c ggml-cpu/arch/riscv/repack.cpp)
    else()
        message(FATAL_ERROR "no levels are known for ${LFF_TARGET}")
    endif()
    file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/levels/levels.inc CONTENT "${levels}" @ONLY)
    set(kernel_sources levels.cpp cpu_words.cpp)
    set_source_files_properties(levels.cpp PROPERTIES INCLUDE_DIRECTORIES ${CMAKE_CURRENT_BINARY_DIR}/levels)
endif()
