// The few things that differ between systems.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace lff {

// Opens a file by its UTF-8 path.
FILE * open_file(const std::string & path, const char * mode);
bool   seek(FILE * file, uint64_t offset);
// Size in bytes, or -1.
int64_t file_size(FILE * file);

// The arguments in UTF-8, without the program's name.
std::vector<std::string> arguments(int argc, char ** argv);
std::string              environment(const char * name);
bool                     is_set(const char * name);
void                     forget(const char * name);  // removes a variable from the environment
void                     put(const char * name, const std::string & value);  // into the environment

// Removes every setting of the engine from the environment: a container runs the same for everybody.
void forget_engine_settings();

// Keeps line feeds as they are on standard input and output.
void binary_streams();

#if defined(_WIN32)
std::string  narrow(const wchar_t * text);
std::wstring widen(const std::string & text);
#endif

// True if somebody sits in front of a screen: a browser may be opened.
bool has_desktop();
void open_in_browser(const std::string & address);

}
