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
elseif (LFF_TARGET MATCHES "x86_64")
    # Several levels in one executable: see levels.cpp. The first copy keeps the names but for the one that levels.cpp takes.
    target_compile_definitions(ggml-cpu PRIVATE ggml_backend_cpu_reg=ggml_backend_cpu_reg_v1)

    file(STRINGS ${LFF_SYMBOLS} symbols REGEX "^[A-Za-z_]")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${LFF_SYMBOLS})
    get_target_property(kernel_folder ggml-cpu SOURCE_DIR)
    get_directory_property(kernel_definitions DIRECTORY ${kernel_folder} COMPILE_DEFINITIONS)
    get_target_property(kernel_files ggml-cpu SOURCES)
    list(FILTER kernel_files INCLUDE REGEX "\\.(c|cpp)$")
    list(TRANSFORM kernel_files PREPEND ${kernel_folder}/)

    function(kernel_level level)
        set(header ${CMAKE_CURRENT_BINARY_DIR}/kernels_${level}.h)
        set(text "#define ggml_backend_cpu_reg ggml_backend_cpu_reg_${level}\n#define ggml ggml_ns_${level}\n")
        foreach (symbol ${symbols})
            string(APPEND text "#define ${symbol} ${symbol}_${level}\n")
        endforeach()
        file(CONFIGURE OUTPUT ${header} CONTENT "${text}" @ONLY)

        add_library(kernels-${level} STATIC ${kernel_files})
        foreach (property INCLUDE_DIRECTORIES COMPILE_DEFINITIONS COMPILE_FEATURES)
            get_target_property(value ggml-cpu ${property})
            if (value)
                list(REMOVE_ITEM value ggml_backend_cpu_reg=ggml_backend_cpu_reg_v1)
                set_target_properties(kernels-${level} PROPERTIES ${property} "${value}")
            endif()
        endforeach()
        target_include_directories(kernels-${level} PRIVATE ${kernel_folder} ${kernel_folder}/ggml-cpu)
        target_compile_definitions(kernels-${level} PRIVATE ${kernel_definitions})
        target_link_libraries(kernels-${level} PRIVATE ggml-base)
        target_compile_options(kernels-${level} PRIVATE -O3 ${ARGN} "SHELL:-include ${header}")
    endfunction()
    kernel_level(v3 -mcpu=x86_64_v3)
    kernel_level(v3_vnni -mcpu=x86_64_v3+avxvnni)
    kernel_level(v4 -mcpu=x86_64_v4+avx512vnni+avx512vbmi+avx512bf16)
    set(kernel_sources levels.cpp)
    set(kernel_libraries kernels-v3 kernels-v3_vnni kernels-v4)
    if (LFF_TARGET MATCHES "^(linux|windows)-")  # elsewhere the system does not lend tiles to this engine
        kernel_level(v4_amx -mcpu=x86_64_v4+avx512vnni+avx512vbmi+avx512bf16+amx_tile+amx_int8)
        set_source_files_properties(levels.cpp PROPERTIES COMPILE_DEFINITIONS LFF_AMX)
        list(APPEND kernel_libraries kernels-v4_amx)
    endif()
elseif (LFF_TARGET MATCHES "riscv64")
    foreach (target ggml-cpu ggml-base)  # the compiler announces vector intrinsics that the baseline processor lacks
        target_compile_options(${target} PRIVATE -U__riscv_v_intrinsic -U__riscv_zfh -U__riscv_zfhmin -U__riscv_zvfh)
    endforeach()
elseif (LFF_TARGET STREQUAL "macos-aarch64")
    target_compile_options(ggml-cpu PRIVATE -mcpu=apple_m1)  # every Mac of that kind has at least this processor
endif()
