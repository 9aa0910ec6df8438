#include "archive.h"

#include "platform.h"

#include <algorithm>
#include <cstring>

namespace lff {
namespace {

constexpr uint32_t END_SIGNATURE          = 0x06054b50;  // APPNOTE 4.3.16
constexpr uint32_t END64_SIGNATURE        = 0x06064b50;  // 4.3.14
constexpr uint32_t LOCATOR_SIGNATURE      = 0x07064b50;  // 4.3.15
constexpr uint32_t DIRECTORY_SIGNATURE    = 0x02014b50;  // 4.3.12
constexpr uint32_t LOCAL_HEADER_SIGNATURE = 0x04034b50;  // 4.3.7
constexpr uint64_t END_SIZE = 22, LOCATOR_SIZE = 20, END64_SIZE = 56, RECORD_SIZE = 46, LOCAL_SIZE = 30;
constexpr uint64_t MAX_COMMENT   = 65535;
constexpr uint64_t MAX_DIRECTORY = 64u << 20;  // bytes; more members than any model needs

uint64_t number(const char * at, int bytes) {
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--) {
        value = value << 8 | (unsigned char) at[i];
    }
    return value;
}

// Reads exactly [offset, offset + size) or throws.
std::string piece(const held_file & file, uint64_t offset, uint64_t size) {
    if (offset > file.size() || size > file.size() - offset) {
        throw archive_error("a record of the archive points behind the end of the file");
    }
    std::string bytes((size_t) size, '\0');
    if (!file.read(offset, &bytes[0], bytes.size())) {
        throw archive_error("the file cannot be read");
    }
    return bytes;
}

struct directory {
    uint64_t offset, size, count;
};

directory find_directory(const held_file & file) {
    const uint64_t    total  = file.size();
    const uint64_t    length = std::min<uint64_t>(total, END_SIZE + MAX_COMMENT);
    const uint64_t    start  = total - length;
    const std::string tail   = piece(file, start, length);
    for (uint64_t at = length; at-- > 0;) {
        if (length - at < END_SIZE || number(&tail[at], 4) != END_SIGNATURE ||
            at + END_SIZE + number(&tail[at + 20], 2) != length) {
            continue;
        }
        directory found = { number(&tail[at + 16], 4), number(&tail[at + 12], 4), number(&tail[at + 10], 2) };
        const uint64_t end = start + at;
        if (end >= LOCATOR_SIZE) {
            const std::string locator = piece(file, end - LOCATOR_SIZE, LOCATOR_SIZE);
            if (number(&locator[0], 4) == LOCATOR_SIGNATURE) {
                const std::string end64 = piece(file, number(&locator[8], 8), END64_SIZE);
                if (number(&end64[0], 4) != END64_SIGNATURE) {
                    throw archive_error("the archive's Zip64 end record is damaged");
                }
                found = { number(&end64[48], 8), number(&end64[40], 8), number(&end64[32], 8) };
            }
        }
        return found;
    }
    throw archive_error("there is no archive at the end of the file");
}

// The 64-bit values that 0xFFFFFFFF stands for, in the order APPNOTE 4.5.3 gives.
void widen(const std::string & extra, uint64_t & size, uint64_t & packed, uint64_t & header) {
    uint64_t at = 0;
    while (at + 4 <= extra.size()) {
        const uint64_t id = number(&extra[at], 2), length = number(&extra[at + 2], 2);
        if (length > extra.size() - at - 4) {
            return;
        }
        if (id == 1) {
            uint64_t field = at + 4;
            for (uint64_t * value : { &size, &packed, &header }) {
                if (*value == 0xFFFFFFFF && field + 8 <= at + 4 + length) {
                    *value = number(&extra[field], 8);
                    field += 8;
                }
            }
            return;
        }
        at += 4 + length;
    }
}

}

archive open_archive(const std::string & path) {
    std::shared_ptr<held_file> file = held_file::open(path);
    if (file == nullptr) {
        throw archive_error("cannot open " + path);
    }
    return read_archive(path, std::move(file));
}

archive container_of_environment() {
    const std::string path = environment("LFF_CONTAINER"), handed = environment("LFF_CONTAINER_FD");
    const bool        is_handed = is_set("LFF_CONTAINER_FD");  // to nothing as well: then it is malformed
    forget("LFF_CONTAINER_FD");
    if (is_handed) {
        return read_archive(path.empty() ? "the file that was handed over" : path, held_file::inherited(handed));
    }
    return path.empty() ? archive() : open_archive(path);
}

archive read_archive(const std::string & path, std::shared_ptr<held_file> opening) {
    const held_file & file = *opening;
    if (file.size() < END_SIZE) {
        throw archive_error("there is no archive at the end of the file");
    }
    const uint64_t  total  = file.size();
    const directory listed = find_directory(file);
    if (listed.size > MAX_DIRECTORY) {
        throw archive_error("the archive's directory is too large");
    }
    const std::string records = piece(file, listed.offset, listed.size);

    archive  opened;
    uint64_t at = 0;
    opened.path = path;
    opened.file = std::move(opening);
    while (at + RECORD_SIZE <= records.size() && number(&records[at], 4) == DIRECTORY_SIGNATURE) {
        const uint64_t name = number(&records[at + 28], 2), extra = number(&records[at + 30], 2), comment = number(&records[at + 32], 2);
        if (name + extra + comment > records.size() - at - RECORD_SIZE) {
            throw archive_error("the archive's directory is damaged");
        }
        uint64_t packed = number(&records[at + 20], 4), size = number(&records[at + 24], 4), header = number(&records[at + 42], 4);
        widen(records.substr(at + RECORD_SIZE + name, extra), size, packed, header);

        const std::string local = piece(file, header, LOCAL_SIZE);
        if (number(&local[0], 4) != LOCAL_HEADER_SIGNATURE) {
            throw archive_error("a member's local header is damaged");
        }
        member m;
        m.name   = records.substr(at + RECORD_SIZE, name);
        m.offset = header + LOCAL_SIZE + number(&local[26], 2) + number(&local[28], 2);
        m.size   = packed;
        m.stored = number(&records[at + 10], 2) == 0;
        if (m.offset > total || m.size > total - m.offset) {
            throw archive_error("member " + m.name + " ends behind the end of the file");
        }
        opened.members.push_back(m);
        at += RECORD_SIZE + name + extra + comment;
    }
    if (opened.members.size() != listed.count) {
        throw archive_error("the archive's directory is damaged");
    }
    return opened;
}

const member * archive::find(const std::string & name) const {
    for (const member & m : members) {
        if (m.stored && m.name == name) {
            return &m;
        }
    }
    return nullptr;
}

std::string archive::read(const member & m, uint64_t limit) const {
    if (m.size > limit) {
        throw archive_error("member " + m.name + " is too large");
    }
    std::string bytes((size_t) m.size, '\0');
    if (file == nullptr || !file->read(m.offset, &bytes[0], bytes.size())) {
        throw archive_error("member " + m.name + " cannot be read");
    }
    return bytes;
}

namespace {
archive opened_container;
}

const archive & container() { return opened_container; }
void            set_container(archive opened) { opened_container = std::move(opened); }

bool is_member_path(const std::string & path) {
    return !opened_container.path.empty() && path.compare(0, strlen(MEMBER_PREFIX), MEMBER_PREFIX) == 0;
}

}
