#include "inspect.h"

#include "canonical.h"
#include "text.h"

#include <cinttypes>
#include <cstdio>

namespace lff {
namespace {

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

std::string field(const json_value & object, const char * name) { return shown(object.text_of(name)); }

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
    const json_value read = read_canonical(container.read(*manifest, MAX_MANIFEST));
    printf("llamafile format %s", field(read, "version").c_str());
    for (const char * name : { "name", "license", "created", "source" }) {
        const std::string text = field(read, name);
        if (!text.empty()) {
            printf("\n%-8s %s", name, text.c_str());
        }
    }
    printf("\ndefault  %s\n\n", field(read, "default").c_str());
    const json_value * members = read.field("members");
    for (const json_value & m : members != nullptr ? members->items : std::vector<json_value>()) {
        printf("%12s  %-12s %s\n              sha256 %s\n", size_text(m.number_of("size")).c_str(), field(m, "role").c_str(),
               field(m, "path").c_str(), field(m, "sha256").c_str());
    }
    printf("\nNothing was verified. Checking it with or without tools: unzip -p FILE META-LLAMAFILE/README.txt\n");
    return 0;
}

}
