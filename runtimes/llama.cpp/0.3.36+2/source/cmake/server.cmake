# Upstream's server as a library, with the chat page from the container instead of compiled in.

redirect(llama-common arg.cpp)
set_source_files_properties(${common}/arg.cpp TARGET_DIRECTORY llama-common PROPERTIES
    COMPILE_OPTIONS "-include;${CMAKE_CURRENT_SOURCE_DIR}/ignore_config.h")

# tools/server links a library llama-ui and waits for llama-ui-assets; these stand in for upstream's.
add_library(llama-ui STATIC pages.cpp)
target_include_directories(llama-ui PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_compile_definitions(llama-ui PRIVATE LFF_ENGINE_VERSION="${LFF_ENGINE_VERSION}" LFF_TARGET="${LFF_TARGET}"
    LFF_FLAVOUR="${LFF_FLAVOUR}" LFF_HAS_SERVER=1)
target_link_libraries(llama-ui PRIVATE window)
add_custom_target(llama-ui-assets)

add_subdirectory(${LFF_LLAMA_SOURCE}/tools/mtmd mtmd EXCLUDE_FROM_ALL)
add_subdirectory(${LFF_LLAMA_SOURCE}/tools/server server EXCLUDE_FROM_ALL)
redirect(mtmd clip.cpp)
foreach (target server-context llama-server-impl)
    target_include_directories(${target} PRIVATE ${LFF_LLAMA_SOURCE} ${LFF_LLAMA_SOURCE}/vendor)
endforeach()

# The port is chosen where it is bound, connections wait in the lobby, and requests that are not ours or ask for too much are
# refused before upstream sees them.
add_library(listen STATIC doors.cpp listen.cpp lobby.cpp)
if (WIN32)
    target_link_libraries(listen PUBLIC ws2_32)
endif()
target_compile_options(cpp-httplib PRIVATE "SHELL:-include ${CMAKE_CURRENT_SOURCE_DIR}/listen.h")
target_compile_definitions(cpp-httplib PRIVATE LFF_RENAME_BIND)
target_link_libraries(cpp-httplib PRIVATE listen)
get_target_property(server_folder llama-server-impl SOURCE_DIR)
set_source_files_properties(${server_folder}/server-http.cpp TARGET_DIRECTORY llama-server-impl PROPERTIES
    COMPILE_OPTIONS "-include;${CMAKE_CURRENT_SOURCE_DIR}/guard.h")
set_source_files_properties(${server_folder}/server-common.cpp TARGET_DIRECTORY server-context PROPERTIES
    COMPILE_OPTIONS "-include;${CMAKE_CURRENT_SOURCE_DIR}/refuse_download.h;-include;${CMAKE_CURRENT_SOURCE_DIR}/tool_calls.h")
set_source_files_properties(${server_folder}/server-context.cpp TARGET_DIRECTORY server-context PROPERTIES
    COMPILE_OPTIONS "-DLFF_COUNT_ANSWERS;-include;${CMAKE_CURRENT_SOURCE_DIR}/usage.h;-include;${CMAKE_CURRENT_SOURCE_DIR}/device_loss.h")
set_source_files_properties(${server_folder}/server-queue.cpp TARGET_DIRECTORY server-context PROPERTIES
    COMPILE_OPTIONS "-include;${CMAKE_CURRENT_SOURCE_DIR}/polling.h")

# What templates, schemas and grammars cost is counted (meter.h).
foreach (target llama-common server-context llama-server-impl)
    target_compile_options(${target} PRIVATE "SHELL:-include ${CMAKE_CURRENT_SOURCE_DIR}/meter_templates.h")
endforeach()
# What these print of a request is fit for a terminal (terminal.h); the rest goes through the log, which writes colours (loading.cpp).
target_compile_options(llama-common PRIVATE -DLFF_SAY "SHELL:-include ${CMAKE_CURRENT_SOURCE_DIR}/terminal.h")
set_source_files_properties(session.cpp PROPERTIES COMPILE_OPTIONS "-include;${CMAKE_CURRENT_SOURCE_DIR}/meter_templates.h")
get_target_property(engine_folder llama SOURCE_DIR)
set_source_files_properties(${engine_folder}/llama-grammar.cpp TARGET_DIRECTORY llama PROPERTIES
    COMPILE_OPTIONS "-include;${CMAKE_CURRENT_SOURCE_DIR}/meter_grammar.h;-DLFF_SAY;-include;${CMAKE_CURRENT_SOURCE_DIR}/terminal.h")
set_source_files_properties(${engine_folder}/unicode.cpp TARGET_DIRECTORY llama PROPERTIES
    COMPILE_OPTIONS "-DLFF_SAY;-include;${CMAKE_CURRENT_SOURCE_DIR}/terminal.h")
set_source_files_properties(${engine_folder}/llama-sampler.cpp TARGET_DIRECTORY llama PROPERTIES
    COMPILE_OPTIONS "-DLFF_GUARD_GRAMMARS;-include;${CMAKE_CURRENT_SOURCE_DIR}/grammar_gate.h")

# The engine's loop is watched, and what is said of a model that cannot be loaded is one line.
set_property(SOURCE ${server_folder}/server-queue.cpp TARGET_DIRECTORY server-context APPEND PROPERTY
    COMPILE_OPTIONS "-include;${CMAKE_CURRENT_SOURCE_DIR}/engine_loop.h")
set_property(SOURCE ${common}/log.cpp TARGET_DIRECTORY llama-common APPEND PROPERTY
    COMPILE_OPTIONS "-ULFF_SAY;-Dcommon_log_add=lff_upstream_log_add;-Dcommon_log_default_callback=lff_upstream_log_callback")
set_property(SOURCE ${common}/json.cpp TARGET_DIRECTORY llama-common APPEND PROPERTY
    COMPILE_OPTIONS "-include;${CMAKE_CURRENT_SOURCE_DIR}/numbers.h")
target_sources(llama-common PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/loading.cpp)
target_link_libraries(llama-common PRIVATE watch)
target_link_libraries(server-context PRIVATE watch)

# What waits for requests and parses them is built for size: it is carried once for each target.
foreach (target llama-common llama-common-base mtmd server-context llama-server-impl cpp-httplib llama-ui listen)
    target_compile_options(${target} PRIVATE -Os)
endforeach()

# Sources that share large headers are compiled together: half of the time of a build otherwise goes into reading them.
function(together TARGET GROUP)
    get_target_property(folder ${TARGET} SOURCE_DIR)
    set_target_properties(${TARGET} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
    foreach (source ${ARGN})
        set_source_files_properties(${folder}/${source} TARGET_DIRECTORY ${TARGET} PROPERTIES UNITY_GROUP ${GROUP})
    endforeach()
endfunction()
file(GLOB parsers RELATIVE ${LFF_LLAMA_SOURCE}/common ${LFF_LLAMA_SOURCE}/common/parsers/*.cpp)
file(GLOB models RELATIVE ${LFF_LLAMA_SOURCE}/tools/mtmd ${LFF_LLAMA_SOURCE}/tools/mtmd/models/*.cpp)
together(llama-common parsers ${parsers})
together(llama-common chat chat.cpp chat-auto-parser-generator.cpp chat-auto-parser-helpers.cpp chat-diff-analyzer.cpp
    chat-peg-parser.cpp peg-parser.cpp jinja/caps.cpp jinja/lexer.cpp jinja/parser.cpp jinja/runtime.cpp jinja/string.cpp)
together(llama-common general common.cpp fit.cpp json-schema-to-grammar.cpp json-schema.cpp ngram-cache.cpp ngram-map.cpp
    ngram-mod.cpp reasoning-budget.cpp sampling.cpp speculative.cpp trie.cpp unicode.cpp)
together(mtmd models ${models})
together(server-context tasks server-chat.cpp server-task.cpp server-queue.cpp server-common.cpp server-context.cpp
    server-stream.cpp server-schema.cpp)
