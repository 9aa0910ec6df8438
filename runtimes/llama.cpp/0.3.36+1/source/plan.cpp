#include "plan.h"

#include "json.h"

#include <algorithm>
#include <cctype>

namespace lff {
namespace {

constexpr uint64_t MAX_MANIFEST = 64u << 20;  // bytes

constexpr const char * MANIFEST  = "META-LLAMAFILE/manifest.json";
constexpr const char * ARGUMENTS = ".args";

bool is_gguf(const std::string & name) {
    std::string end = name.size() < 5 ? "" : name.substr(name.size() - 5);
    std::transform(end.begin(), end.end(), end.begin(), [](unsigned char c) { return (char) std::tolower(c); });
    return end == ".gguf";
}

void by_suffix(const archive & container, contents & found) {
    for (const member & m : container.members) {
        if (!is_gguf(m.name)) {
            continue;
        }
        if (m.name.find("mmproj") != std::string::npos) {
            found.projector = found.projector.empty() ? MEMBER_PREFIX + m.name : found.projector;
        } else if (found.weights.empty()) {
            found.weights = MEMBER_PREFIX + m.name;
        }
    }
}

void by_manifest(const archive & container, const member & manifest, uint64_t weights_offset, contents & found) {
    const common_json read = common_json::parse(container.read(manifest, MAX_MANIFEST));
    std::string chosen = read.contains("default") ? read.at("default").get<std::string>() : "";
    for (const common_json & m : read.at("members")) {
        const std::string role = m.at("role").get<std::string>(), path = m.at("path").get<std::string>();
        if (role == "weights" && (chosen.empty() || (weights_offset != 0 && m.at("offset").get<uint64_t>() == weights_offset))) {
            chosen = path;
        } else if (role == "projector" && found.projector.empty()) {
            found.projector = MEMBER_PREFIX + path;
        } else if (role == "adapter") {
            found.adapters.push_back(MEMBER_PREFIX + path);
        } else if (role == "draft" && found.draft.empty()) {
            found.draft = MEMBER_PREFIX + path;
        }
    }
    if (read.contains("name") && read.at("name").is_string()) {
        found.name = read.at("name").get<std::string>();
    }
    found.weights = chosen.empty() ? "" : MEMBER_PREFIX + chosen;
}

}

contents survey(const archive & container, uint64_t weights_offset) {
    contents found;
    if (const member * manifest = container.find(MANIFEST)) {
        by_manifest(container, *manifest, weights_offset, found);
    } else {
        by_suffix(container, found);
    }
    if (!found.weights.empty() && container.find(found.weights.substr(5)) == nullptr) {
        throw archive_error("the weights " + found.weights.substr(5) +
                            " are compressed or missing and cannot be used in place; repack the file with llamafile-format");
    }
    if (const member * arguments = container.find(ARGUMENTS)) {
        found.arguments = container.read(*arguments, 1u << 20);
    }
    return found;
}

std::string option(const std::vector<std::string> & arguments, const std::vector<std::string> & names) {
    std::string found;
    for (size_t i = 0; i < arguments.size(); i++) {
        for (const std::string & name : names) {
            if (arguments[i] == name && i + 1 < arguments.size()) {
                found = arguments[i + 1];
            } else if (arguments[i].compare(0, name.size() + 1, name + "=") == 0) {
                found = arguments[i].substr(name.size() + 1);
            }
        }
    }
    return found;
}

bool given(const std::vector<std::string> & arguments, const std::vector<std::string> & names) {
    return std::any_of(arguments.begin(), arguments.end(), [&](const std::string & argument) {
        return std::any_of(names.begin(), names.end(), [&](const std::string & name) {
            return argument == name || argument.compare(0, name.size() + 1, name + "=") == 0;
        });
    });
}

bool take(std::vector<std::string> & arguments, const std::string & name) {
    const auto end  = std::remove(arguments.begin(), arguments.end(), name);
    const bool had  = end != arguments.end();
    arguments.erase(end, arguments.end());
    return had;
}

}
