// The container as the runtime sees it: a ZIP archive at the end of a file, its members in place (spec/1.0, chapter 4).
#pragma once

#include "held_file.h"

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace lff {

// /zip/NAME names the member NAME of the container wherever the engine takes a path.
constexpr const char * MEMBER_PREFIX = "/zip/";

struct member {
    std::string name;
    uint64_t    offset = 0;  // of the data, from byte 0 of the file
    uint64_t    size   = 0;  // bytes, as stored
    bool        stored = true;  // false: compressed, cannot be used in place
};

struct archive {
    std::string                path;  // UTF-8, for people; empty: there is no container
    std::shared_ptr<held_file> file;  // open, and never opened again
    std::vector<member>        members;

    const member * find(const std::string & name) const;  // a stored member, or null
    std::string    read(const member & m, uint64_t limit) const;  // throws above `limit` bytes
};

struct archive_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Reads the directory. Every number is compared with the size of the file before it is used. Throws archive_error.
archive open_archive(const std::string & path);
archive read_archive(const std::string & path, std::shared_ptr<held_file> file);

// The container that the environment names (14.6.1): by its descriptor where one was handed over, else by its path. The
// variable of the descriptor is removed. An empty path if there is none.
archive container_of_environment();

// The container that the launcher named, opened once. Empty path if there is none.
const archive & container();
void            set_container(archive opened);

bool is_member_path(const std::string & path);

}
