// The chat page, from member runtimes/llama.cpp/VERSION/webui.tar, or for a plain GGUF from the file that LFF_WEBUI
// names: a ustar archive whose files are each compressed with gzip.

#include "archive.h"
#include "build.h"
#include "platform.h"
#include "ui.h"

#include <cstring>

namespace {

constexpr uint64_t MAX_PAGES = 64u << 20;  // bytes
constexpr size_t   BLOCK     = 512;

std::string read_pages() {
    const std::string path = lff::environment("LFF_WEBUI");
    if (!path.empty()) {
        lff::archive whole;
        whole.file = lff::held_file::open(path);
        if (whole.file == nullptr) {
            return "";
        }
        lff::member all;
        all.size = whole.file->size();
        return whole.read(all, MAX_PAGES);
    }
    const std::string  name  = std::string("runtimes/llama.cpp/") + lff::ENGINE_VERSION + "/webui.tar";
    const lff::member * pages = lff::container().find(name);
    return pages == nullptr ? "" : lff::container().read(*pages, MAX_PAGES);
}

const char * type_of(const std::string & name) {
    static const char * const types[][2] = {
        { ".html", "text/html; charset=utf-8" }, { ".js", "text/javascript; charset=utf-8" },
        { ".css", "text/css; charset=utf-8" },   { ".json", "application/json; charset=utf-8" },
        { ".webmanifest", "application/manifest+json" }, { ".svg", "image/svg+xml" }, { ".png", "image/png" },
        { ".ico", "image/x-icon" }, { ".woff2", "font/woff2" }, { ".woff", "font/woff" }, { ".ttf", "font/ttf" },
        { ".wasm", "application/wasm" }, { ".txt", "text/plain; charset=utf-8" },
    };
    for (const auto & type : types) {
        const size_t length = strlen(type[0]);
        if (name.size() > length && name.compare(name.size() - length, length, type[0]) == 0) {
            return type[1];
        }
    }
    return "application/octet-stream";
}

std::vector<llama_ui_asset> unpack(const std::string & tar) {
    std::vector<llama_ui_asset> found;
    size_t at = 0;
    while (at + BLOCK <= tar.size() && tar[at] != '\0') {
        const char *      header = tar.data() + at;
        const std::string name(header, strnlen(header, 100)), prefix(header + 345, strnlen(header + 345, 155));
        const uint64_t    size = strtoull(std::string(header + 124, 12).c_str(), nullptr, 8);
        at += BLOCK;
        if (size > tar.size() - at) {
            break;
        }
        if (header[156] == '0') {
            const std::string path = prefix.empty() ? name : prefix + "/" + name;
            found.push_back({ path, (const unsigned char *) tar.data() + at, (size_t) size,
                              "\"" + std::string(lff::ENGINE_VERSION) + "\"", type_of(path) });
        }
        at += (size + BLOCK - 1) / BLOCK * BLOCK;
    }
    return found;
}

}

const std::vector<llama_ui_asset> & llama_ui_get_assets() {
    static const std::string                 tar    = read_pages();
    static const std::vector<llama_ui_asset> assets = unpack(tar);
    return assets;
}

const llama_ui_asset * llama_ui_find_asset(const std::string & name) {
    for (const llama_ui_asset & asset : llama_ui_get_assets()) {
        if (asset.name == name) {
            return &asset;
        }
    }
    return nullptr;
}

bool llama_ui_use_gzip() { return true; }
