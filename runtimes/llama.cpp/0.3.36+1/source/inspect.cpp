#include "inspect.h"

#include "json.h"

#include <cinttypes>
#include <cstdio>

namespace lff {
namespace {

// Text from the file, made safe for a terminal: control and non-ASCII bytes as \xNN.
std::string shown(const std::string & text) {
    std::string out;
    for (const char c : text) {
        const unsigned char byte = (unsigned char) c;
        if (byte < 0x20 || byte > 0x7E) {
            char escaped[8];
            snprintf(escaped, sizeof escaped, "\\x%02x", byte);
            out += escaped;
        } else {
            out += c;
        }
    }
    return out;
}

std::string size_text(uint64_t size) {
    static const char * const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
    double value = (double) size;
    int    unit  = 0;
    while (value >= 1024 && unit < 4) {
        value /= 1024;
        unit++;
    }
    char out[32];
    snprintf(out, sizeof out, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return out;
}

std::string field(const common_json & object, const char * name) {
    return object.contains(name) && object.at(name).is_string() ? shown(object.at(name).get<std::string>()) : "";
}

}

int inspect(const archive & container) {
    if (container.path.empty()) {
        fprintf(stderr, "llamafile: there is no container to inspect\n");
        return 2;
    }
    printf("%s\n", shown(container.path).c_str());
    const member * manifest = container.find("META-LLAMAFILE/manifest.json");
    if (manifest == nullptr) {
        printf("No manifest: a legacy llamafile.\n\n");
        for (const member & m : container.members) {
            printf("%12s  %s%s\n", size_text(m.size).c_str(), shown(m.name).c_str(), m.stored ? "" : "  (compressed)");
        }
        return 0;
    }
    const common_json read = common_json::parse(container.read(*manifest, 64u << 20));
    printf("llamafile format %s", field(read, "version").c_str());
    for (const char * name : { "name", "license", "created", "source" }) {
        const std::string text = field(read, name);
        if (!text.empty()) {
            printf("\n%-8s %s", name, text.c_str());
        }
    }
    printf("\ndefault  %s\n\n", field(read, "default").c_str());
    for (const common_json & m : read.at("members")) {
        printf("%12s  %-12s %s\n              sha256 %s\n", size_text(m.at("size").get<uint64_t>()).c_str(), field(m, "role").c_str(),
               field(m, "path").c_str(), field(m, "sha256").c_str());
    }
    printf("\nNothing was verified. Checking it with or without tools: unzip -p FILE META-LLAMAFILE/README.txt\n");
    return 0;
}

}
