# One mathematical library for every target, as objects of the executable: they come before the system's own in the link.
# Source: musl (MIT). These are the functions of libm that the engine calls and that are not exact by definition.
enable_language(C)

set(pinned_functions cosf sinf erff exp exp2f expf expm1f log logf log2 log2f pow powf tanhf)
set(pinned_parts __cosdf __sindf __rem_pio2f __rem_pio2_large exp_data exp2f_data log_data log2_data log2f_data logf_data
    pow_data powf_data __math_oflowf __math_uflowf __math_xflowf __math_invalidf __math_divzerof __math_oflow __math_uflow
    __math_xflow __math_invalid __math_divzero scalbn)

set(math ${LFF_LIBM}/src/math)
set(pinned_sources)
foreach (part ${pinned_functions} ${pinned_parts})
    list(APPEND pinned_sources ${math}/${part}.c)
endforeach()

add_library(pinned-libm OBJECT ${pinned_sources})
set_target_properties(pinned-libm PROPERTIES C_STANDARD 11 C_EXTENSIONS ON)
target_include_directories(pinned-libm PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/libm ${math} ${LFF_LIBM}/src/internal)
target_compile_definitions(pinned-libm PRIVATE hidden= _GNU_SOURCE _USE_MATH_DEFINES)
target_compile_options(pinned-libm PRIVATE -fno-builtin -w -UM_PI_2)
# Its inner names are its own, whatever else the system's library brings in.
foreach (part ${pinned_parts} __exp_data __exp2f_data __log_data __log2_data __log2f_data __logf_data __pow_log_data __powf_log2_data)
    target_compile_definitions(pinned-libm PRIVATE ${part}=pinned_${part})
endforeach()

# The compiler must call them, not fold, fuse (sinf with cosf, on macOS) or replace them.
foreach (target ggml-cpu ggml-base llama runtime)
    foreach (function ${pinned_functions})
        target_compile_options(${target} PRIVATE -fno-builtin-${function})
    endforeach()
endforeach()
