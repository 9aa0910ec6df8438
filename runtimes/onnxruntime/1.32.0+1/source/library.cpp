#include "kept.h"

#include "listed.h"
#include "sha256.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>

namespace lff {
namespace {

std::string folder_of() { return std::string("runtimes/onnxruntime/") + LFF_ENGINE_VERSION + "/lib/" + LFF_TARGET + "/"; }

std::unique_ptr<kept_library> kept(const archive & container, const listed_library & wanted) {
    const std::string name = folder_of() + wanted.name;
    const member *    m    = container.find(name);
    if (m == nullptr) {
        throw archive_error("the library " + name + " is not in the file, and this program is nothing without it");
    }
    return keep(container, *m, wanted);
}

}

void check_member(const archive & container, const member & m, const listed_library & wanted) {
    sha256            digest;
    std::vector<char> piece(PIECE);
    for (uint64_t at = 0; at < m.size; at += piece.size()) {
        const size_t count = (size_t) std::min<uint64_t>(piece.size(), m.size - at);
        if (!container.file->read(m.offset + at, piece.data(), count)) {
            throw archive_error("member " + m.name + " cannot be read");
        }
        digest.update(piece.data(), count);
    }
    if (m.size != wanted.size || digest.hex() != wanted.sha256) {
        throw archive_error(m.name + " is not the library that this program was built for: its SHA-256 would be " + wanted.sha256);
    }
}

std::vector<listed_library> listed_libraries() {
    std::istringstream          lines(LISTED);
    std::string                 line;
    std::vector<listed_library> found;
    std::getline(lines, line);
    while (std::getline(lines, line)) {
        listed_library     one;
        std::istringstream words(line);
        if (words >> one.sha256 >> one.size >> one.name) {
            found.push_back(one);
        }
    }
    return found;
}

void * load_libraries(const archive & container) {
    if (container.file == nullptr) {
        throw std::runtime_error("the engine is a library in a container, and there is no container");
    }
    std::vector<std::unique_ptr<kept_library>> files;
    for (const listed_library & wanted : listed_libraries()) {
        files.push_back(kept(container, wanted));
    }
    void * handle = nullptr;
    for (const std::unique_ptr<kept_library> & file : files) {
        handle = file->load();
    }
    return handle;
}

}
