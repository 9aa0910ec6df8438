# Upstream's Vulkan backend without upstream's build of it, which looks for an SDK and compiles shaders on this machine.
#   LFF_SHADERS         what `runtimes build --shaders` made: table/ with where in the archive each shader lies
#   LFF_SHADERS_SHA256  of that archive, and LFF_SHADERS_SIZE its bytes
#   LFF_SHADER_FEATURES what its compiler understood, such as COOPMAT,INTEGER_DOT
#   LFF_VULKAN LFF_SPIRV folders of their headers      LFF_ZSTD  the folder of zstd.c
set(vulkan ${LFF_LLAMA_SOURCE}/ggml/src/ggml-vulkan)
add_library(ggml-vulkan STATIC ${vulkan}/ggml-vulkan.cpp ${vulkan}/ggml-vulkan-buffers.cpp ${vulkan}/ggml-vulkan-debug.cpp
    vulkan/loader.cpp vulkan/tables.cpp)
target_include_directories(ggml-vulkan PRIVATE vulkan ${LFF_SHADERS}/table ${vulkan} ${vulkan}/.. ${LFF_VULKAN} ${LFF_SPIRV})
string(REPLACE "," ";" features "${LFF_SHADER_FEATURES}")
foreach (feature ${features})
    target_compile_definitions(ggml-vulkan PRIVATE GGML_VULKAN_${feature}_GLSLC_SUPPORT)
endforeach()
target_link_libraries(ggml-vulkan PRIVATE ggml-base ${CMAKE_DL_LIBS})

# The registry asks us for the backend, and we upstream, when its shaders are there.
target_compile_definitions(ggml PRIVATE GGML_USE_VULKAN ggml_backend_vk_reg=lff_vulkan_reg)
target_link_libraries(ggml PUBLIC ggml-vulkan)

add_library(decoder STATIC ${LFF_ZSTD}/zstd.c)
target_compile_definitions(decoder PRIVATE ZSTD_DISABLE_ASM)
set(gpu_sources vulkan/shaders.cpp vulkan/device.cpp)
set(gpu_libraries ggml-vulkan decoder)
set_source_files_properties(vulkan/device.cpp PROPERTIES INCLUDE_DIRECTORIES "${CMAKE_CURRENT_SOURCE_DIR};${LFF_VULKAN}")
set_source_files_properties(vulkan/shaders.cpp PROPERTIES INCLUDE_DIRECTORIES "${CMAKE_CURRENT_SOURCE_DIR};${LFF_ZSTD}"
    COMPILE_DEFINITIONS "LFF_SHADERS_SHA256=\"${LFF_SHADERS_SHA256}\";LFF_SHADERS_SIZE=${LFF_SHADERS_SIZE}")
