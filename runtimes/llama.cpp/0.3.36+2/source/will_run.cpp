#include "will_run.h"

#include "text.h"

#include <algorithm>
#include <cctype>
#include <cstring>

namespace lff {
namespace {

constexpr const char * BUNDLE = "/zip/";

using names = std::vector<const char *>;

bool one_of(const std::string & name, const names & wanted) {
    return std::any_of(wanted.begin(), wanted.end(), [&](const char * each) { return name == each; });
}

bool starts_with(const std::string & text, const char * begin) { return text.compare(0, strlen(begin), begin) == 0; }

std::vector<std::string> parts_of(const std::string & path) {
    std::vector<std::string> parts(1);
    for (const char c : path) {
        if (c == '/') {
            parts.emplace_back();
        } else {
            parts.back() += c;
        }
    }
    return parts;
}

// Builds (14.1.2)

struct runtime_name {
    std::string engine, version, flavour, target;
};

bool is_word(const std::string & text) {
    const auto plain = [](unsigned char c) { return c < 0x80 && isalnum(c); };
    return !text.empty() && plain((unsigned char) text.front()) && plain((unsigned char) text.back()) &&
           std::all_of(text.begin(), text.end(), [&](char c) { return plain((unsigned char) c) || (c != '\0' && strchr("._+-", c)); });
}

bool is_target(const std::string & text) {
    const auto   small = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
    const size_t dash  = text.find('-');
    return dash != std::string::npos && dash > 0 && dash + 1 < text.size() &&
           std::all_of(text.begin(), text.begin() + (std::ptrdiff_t) dash, small) &&
           std::all_of(text.begin() + (std::ptrdiff_t) dash + 1, text.end(), [&](char c) { return small(c) || c == '_'; });
}

std::optional<runtime_name> name_of_runtime(const std::string & path) {
    const std::vector<std::string> part = parts_of(path);
    const bool fits = part.size() == 5 && part[0] == "runtimes" && is_word(part[1]) && is_word(part[2]) &&
                      (part[3] == "native" || part[3] == "reference" || part[3] == "gpu") && is_target(part[4]);
    return fits ? std::optional<runtime_name>({ part[1], part[2], part[3], part[4] }) : std::nullopt;
}

struct named_build {
    runtime_name             name;
    const described_member * member;
};

std::vector<named_build> named_builds(const described_archive & archive) {
    std::vector<named_build> found;
    for (const described_member & member : archive.members) {
        const auto name = member.role == "runtime" ? name_of_runtime(member.path) : std::nullopt;
        if (name) {
            found.push_back({ *name, &member });
        }
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const named_build & a, const named_build & b) { return a.member->offset < b.member->offset; });
    return found;
}

bool is_there(const described_archive & archive, const std::string & path) {
    return std::any_of(archive.members.begin(), archive.members.end(), [&](const described_member & m) { return m.path == path; });
}

// The one of `all` that starts on `target`: the first native one, else the first; one for a GPU never does.
const named_build * starting(const std::vector<named_build> & all, const std::string & target) {
    const named_build * best = nullptr;
    for (const named_build & each : all) {
        if (each.name.target == target && each.name.flavour != "gpu" && (best == nullptr || (each.name.flavour == "native" && best->name.flavour != "native"))) {
            best = &each;
        }
    }
    return best;
}

std::vector<chosen_build> builds_of(const described_archive & archive) {
    const std::vector<named_build> all = named_builds(archive);
    std::vector<chosen_build>      found;
    for (const named_build & each : all) {
        const bool        native = each.name.flavour == "native", gpu = each.name.flavour == "gpu";
        const std::string page   = "runtimes/" + each.name.engine + "/" + each.name.version + "/webui.tar";
        const char *      why    = gpu ? "gpu" : starting(all, each.name.target) != &each ? "behind" : native ? "native" : "only";
        found.push_back({ each.member->path, why, (native || gpu) && is_there(archive, page) ? page : "" });
    }
    return found;
}

std::optional<chosen> page_of(const described_archive & archive, const std::vector<chosen_build> & builds) {
    for (const chosen_build & build : builds) {
        if (build.starts() && !build.page.empty()) {
            return chosen{ build.page, "name", "" };
        }
    }
    for (const described_member & member : archive.members) {
        const std::vector<std::string> part = parts_of(member.path);
        if (builds.empty() && part.size() == 4 && part[0] == "runtimes" && part[3] == "webui.tar") {
            return chosen{ member.path, "name", "" };
        }
    }
    return std::nullopt;
}

// What options name

chosen named(const described_archive & archive, const std::string & name, const std::string & text) {
    const bool        bundle = starts_with(name, BUNDLE);
    const std::string member = bundle ? name.substr(strlen(BUNDLE)) : name;
    const bool        bare   = (archive.speaks == dialect::lines || archive.speaks == dialect::quoted) && is_gguf(name);
    if (is_there(archive, member) && (bundle || bare)) {
        return { member, "option", text };
    }
    return { "", "outside", text };
}

std::vector<chosen> all_named(const described_archive & archive, const std::vector<option_read> & given, const names & wanted) {
    std::vector<chosen> found;
    for (const option_read & option : given) {
        if (option.row == nullptr || option.values.empty() || !one_of(option.name, wanted)) {
            continue;
        }
        const std::string & value = option.values[0];
        if (!option.row->names_members()) {
            found.push_back({ "", "inline", value });
            continue;
        }
        for (const std::string & name : named_members(value, option.row->kind)) {
            found.push_back(named(archive, name, value));
        }
    }
    return found;
}

std::optional<chosen> last_named(const described_archive & archive, const std::vector<option_read> & given, const names & wanted) {
    const std::vector<chosen> all = all_named(archive, given, wanted);
    return all.empty() ? std::nullopt : std::optional<chosen>(all.back());
}

// What is taken where nothing is named

std::optional<chosen> default_model(const described_archive & archive) {
    if (archive.manifest && is_there(archive, archive.standard)) {
        return chosen{ archive.standard, "default", "" };
    }
    for (const described_member & member : archive.members) {
        const bool is_model = archive.manifest ? member.role == "weights"
                                               : is_gguf(member.path) && member.path.find("mmproj") == std::string::npos;
        if (is_model) {
            return chosen{ member.path, "first", "" };
        }
    }
    return std::nullopt;
}

std::vector<chosen> companions(const described_archive & archive, const std::string & role) {
    std::vector<chosen> found;
    for (const described_member & member : archive.members) {
        const bool goes = archive.manifest ? member.role == role
                                           : role == "projector" && is_gguf(member.path) && member.path.find("mmproj") != std::string::npos;
        if (goes) {
            found.push_back({ member.path, "companion", "" });
        }
    }
    return found;
}

// JSON

const char * word(dialect d) {
    return d == dialect::lines ? "lines" : d == dialect::quoted ? "quoted" : d == dialect::zip_quoted ? "zip-quoted" : "native";
}

std::string list(const std::vector<std::string> & items, const std::string & indent, char open = '[', char close = ']') {
    if (items.empty()) {
        return { open, close };
    }
    std::string out(1, open);
    for (size_t i = 0; i < items.size(); i++) {
        out += (i ? ",\n" : "\n") + indent + " " + items[i];
    }
    return out + "\n" + indent + close;
}

std::string field(const char * name, const std::string & value) { return quoted_json(name) + ": " + value; }

std::string of_chosen(const std::optional<chosen> & it, const std::string & indent) {
    return !it ? "null"
               : list({ field("member", quoted_json(it->member)), field("why", quoted_json(it->why)), field("text", quoted_json(it->text)) },
                      indent, '{', '}');
}

}

bool is_gguf(const std::string & name) {
    std::string end = name.size() < 5 ? "" : name.substr(name.size() - 5);
    std::transform(end.begin(), end.end(), end.begin(), [](unsigned char c) { return (char) std::tolower(c); });
    return end == ".gguf";
}

bool projector_is_off(const std::vector<option_read> & given) {
    bool off = false;
    for (const option_read & option : given) {
        if (option.row != nullptr && option.name == "--mmproj-auto") {
            std::string written = option.written;
            std::replace(written.begin(), written.end(), '_', '-');
            off = written != "--mmproj-auto";
        }
    }
    return off;
}

will_run decide(const described_archive & archive, const std::vector<option_read> & given) {
    will_run answer;
    answer.speaks = archive.speaks;
    if (archive.has_arguments) {
        answer.arguments = chosen{ ".args", "name", "" };
    }
    const auto last = [&](const names & wanted) { return last_named(archive, given, wanted); };
    answer.model    = last({ "--model" });
    if (!answer.model) {
        answer.model = default_model(archive);
    }
    const bool goes_along = answer.model && answer.model->is_default();
    const auto beside     = [&](const char * role) { return goes_along ? companions(archive, role) : std::vector<chosen>(); };
    const auto or_first   = [&](std::optional<chosen> it, const char * role) {
        const std::vector<chosen> found = beside(role);
        return it || found.empty() ? it : found.front();
    };
    answer.chat_template = last({ "--chat-template", "--chat-template-file" });
    if (!answer.chat_template && answer.model) {
        answer.chat_template = chosen{ answer.model->member, "in-model", "" };
    }
    answer.projector = projector_is_off(given) ? std::nullopt : or_first(last({ "--mmproj" }), "projector");
    answer.adapters  = all_named(archive, given, { "--lora", "--lora-scaled" });
    if (answer.adapters.empty()) {
        answer.adapters = beside("adapter");
    }
    answer.draft   = or_first(last({ "--spec-draft-model", "--model-draft" }), "draft");
    answer.grammar = last({ "--grammar", "--grammar-file", "--json-schema", "--json-schema-file" });
    answer.builds  = builds_of(archive);
    answer.page    = page_of(archive, answer.builds);
    return answer;
}

will_run decide(const described_archive & archive) {
    const parsed_arguments                           parsed = parse_arguments(archive.arguments, archive.speaks);
    std::vector<std::pair<std::string, std::string>> engines;
    for (const named_build & build : named_builds(archive)) {
        engines.emplace_back(build.name.engine, build.name.version);
    }
    will_run answer = decide(archive, read_options(parsed, table_for(archive.speaks, engines)));
    answer.parsed   = parsed;
    return answer;
}

std::string to_json(const will_run & answer) {
    std::vector<std::string> tokens, adapters, builds;
    for (const std::string & token : answer.parsed.tokens) {
        tokens.push_back(quoted_json(token));
    }
    for (const chosen & adapter : answer.adapters) {
        adapters.push_back(of_chosen(adapter, "  "));
    }
    for (const chosen_build & build : answer.builds) {
        builds.push_back(list({ field("member", quoted_json(build.member)), field("why", quoted_json(build.why)),
                                field("starts", build.starts() ? "true" : "false"), field("page", quoted_json(build.page)) },
                              "  ", '{', '}'));
    }
    const auto one = [](const char * name, const std::optional<chosen> & it) { return field(name, of_chosen(it, " ")); };
    return list({ one("arguments", answer.arguments), field("dialect", quoted_json(word(answer.speaks))),
                  field("tokens", list(tokens, " ")), field("rest", answer.parsed.rest < 0 ? "null" : std::to_string(answer.parsed.rest)),
                  one("model", answer.model), one("template", answer.chat_template), one("projector", answer.projector),
                  field("adapters", list(adapters, " ")), one("draft", answer.draft), one("grammar", answer.grammar),
                  one("page", answer.page), field("builds", list(builds, " ")) },
                "", '{', '}') + "\n";
}

}
