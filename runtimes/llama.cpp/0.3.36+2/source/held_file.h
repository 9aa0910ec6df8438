// A file that is opened once and read from then on, wherever its name leads to by then (spec/1.0, 14.6.7).
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

namespace lff {

class held_file : public std::enable_shared_from_this<held_file> {
public:
    // By its path; null if it cannot be opened.
    static std::shared_ptr<held_file> open(const std::string & path);
    // From what the verifying command says, N:dev:inode:size:mtime_ns:ctime_ns. Throws archive_error if that is not the
    // file that was verified, in the state in which it was.
    static std::shared_ptr<held_file> inherited(const std::string & said);

    ~held_file();
    held_file(const held_file &) = delete;
    held_file & operator=(const held_file &) = delete;

    uint64_t size() const { return length; }  // bytes, when it was opened
    bool     read(uint64_t offset, void * out, size_t count) const;  // exactly, at a position of its own

    // A stream of its own over [offset, offset + count), to be read only. On POSIX it counts from `offset` and ends with
    // the range. Windows has no such streams: there it is one over the whole file, at a position of its own.
    FILE * stream(uint64_t offset, uint64_t count) const;
    // For a program that this one becomes: what `inherited` reads, and whether the descriptor goes along.
    std::string identity_text() const;
    void        keep_on_exec(bool keep) const;

    // The descriptor, to be mapped; on Windows the handle.
    intptr_t descriptor() const { return handle; }

private:
    explicit held_file(intptr_t handle) : handle(handle) {}
    bool measure();

    intptr_t handle;  // a descriptor, or on Windows a handle
    uint64_t length = 0;
};

}
