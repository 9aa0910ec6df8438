#include "plan.h"

#include "canonical.h"
#include "text.h"

#include "json.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>

namespace lff {
namespace {

constexpr const char * MANIFEST   = "META-LLAMAFILE/manifest.json";
constexpr const char * SIGNATURES = "META-LLAMAFILE/signatures/";
constexpr const char * ARGUMENTS  = ".args";
constexpr size_t       MAX_DESCRIPTION = 16u << 20;  // bytes

using places = std::map<std::string, const member *>;

places by_name(const archive & container) {
    places found;
    for (const member & m : container.members) {
        if (!found.emplace(m.name, &m).second) {
            throw archive_error("the archive lists " + shown(m.name) + " twice");
        }
    }
    return found;
}

json_value read_manifest(const archive & container, const member & m) {
    if (!m.stored || m.size > MAX_MANIFEST) {
        throw archive_error("the manifest is compressed, or larger than 16 MiB");
    }
    json_value read;
    try {
        read = read_canonical(container.read(m, MAX_MANIFEST));
    } catch (const not_canonical & error) {
        throw archive_error(std::string("the manifest is not in its canonical form: ") + error.what());
    }
    if (read.text_of("format") != "llamafile") {
        throw archive_error("the manifest's format is not llamafile");
    }
    return read;
}

// Roles by path, as the manifest gives them; each member must lie where the archive says.
std::map<std::string, std::string> roles_of(const json_value & manifest, const places & listed) {
    std::map<std::string, std::string> roles;
    const json_value *                 members = manifest.field("members");
    for (const json_value & m : members != nullptr ? members->items : std::vector<json_value>()) {
        const std::string path = m.text_of("path");
        const auto        it   = listed.find(path);
        if (it == listed.end() || !it->second->stored || it->second->offset != m.number_of("offset") || it->second->size != m.number_of("size") ||
            !roles.emplace(path, m.text_of("role")).second) {
            throw archive_error("manifest and archive disagree about " + shown(path));
        }
    }
    return roles;
}

// The role of a member that no manifest describes, by its name (chapter 9).
std::string legacy_role(const std::string & path) {
    const auto ends = [&](const char * end) {
        const std::string tail(end);
        return path.size() >= tail.size() && path.compare(path.size() - tail.size(), tail.size(), tail) == 0;
    };
    return is_gguf(path) ? "weights" : path == ARGUMENTS ? "arguments" : ends(".jinja") || ends(".j2") ? "template" : "asset";
}

std::string role_without_manifest(const std::string & path) {
    return path == MANIFEST ? "manifest" : path.compare(0, std::string(SIGNATURES).size(), SIGNATURES) == 0 ? "signature-record" : "engine-asset";
}

// The arguments count under their own name and role alone, once (14.7.9).
void check_arguments_member(const described_archive & archive) {
    for (const described_member & m : archive.members) {
        if ((m.path == ARGUMENTS) != (m.role == "arguments")) {
            throw usage_error(shown(m.path) + " has the role " + shown(m.role) + ": the arguments are " + ARGUMENTS + ", with the role arguments");
        }
    }
}

parsed_arguments as_parsed(const std::vector<std::string> & tokens) { return { tokens, -1, false }; }

std::vector<option_read> read(const std::vector<std::string> & arguments) {
    return read_options(as_parsed(arguments), own_table());
}

bool is_named(const option_read & option, const std::vector<std::string> & names) {
    const auto is_it = [&](const std::string & name) {
        return name == option.name || (option.row != nullptr && own_table().find(name) == option.row);
    };
    return option.form != option_form::stray && std::any_of(names.begin(), names.end(), is_it);
}

// `--option=value` as two arguments, where the option is one with a value: the engine's own parser knows no `=`.
std::vector<std::string> divided(const std::vector<std::string> & arguments) {
    std::vector<std::string> out;
    for (const option_read & option : read(arguments)) {
        if (option.form == option_form::equals && option.row != nullptr && option.row->values == 1) {
            out.insert(out.end(), { option.written, option.values[0] });
        } else {
            out.insert(out.end(), arguments.begin() + (std::ptrdiff_t) option.first, arguments.begin() + (std::ptrdiff_t) option.end);
        }
    }
    return out;
}

// The options that the user lets a classic engine's arguments set (14.3.11).
std::vector<std::string> take_accepted(std::vector<std::string> & user) {
    std::vector<std::string> accepted;
    for (size_t i = 0; i + 1 < user.size();) {
        if (user[i] == "--accept-args") {
            accepted.push_back(user[i + 1]);
            user.erase(user.begin() + (std::ptrdiff_t) i, user.begin() + (std::ptrdiff_t) i + 2);
        } else {
            i++;
        }
    }
    return accepted;
}

// A classic engine's file names its model by a bare name; that counts for nothing where the model is named anew behind it.
bool is_replaced(const option_read & option, const contents & found, const parsed_arguments & parsed, const std::vector<std::string> & user) {
    const bool model = found.classic && option.row != nullptr && option.name == "--model" && option.form == option_form::plain;
    const bool there = model && std::any_of(found.archive.members.begin(), found.archive.members.end(), [&](const described_member & m) {
        return m.path == option.values[0] && m.role == "weights";
    });
    return there && given(user, { "--model" }) && (parsed.rest < 0 || (size_t) parsed.rest >= option.end);
}

void judge(const contents & found, const parsed_arguments & parsed, const std::vector<std::string> & user, const std::vector<std::string> & accepted) {
    const auto facts = [&](const std::string & path) {
        member_facts of;
        for (const described_member & m : found.archive.members) {
            of.role = m.path == path ? m.role : of.role;
        }
        const member * place = container().find(path);
        of.size = place == nullptr ? UINT64_MAX : place->size;
        return of;
    };
    for (const option_read & option : read_options(parsed, own_table())) {
        const std::string why = objection(option, facts);
        if (!why.empty() && !is_named(option, accepted) && !is_replaced(option, found, parsed, user)) {
            throw usage_error("the file's own arguments (.args): " + why + "; your own command line may give it");
        }
    }
}

std::string path_of(const std::optional<chosen> & it, const std::string & text) {
    return !it ? "" : it->member.empty() ? text : MEMBER_PREFIX + it->member;
}

std::string path_of(const std::optional<chosen> & it) { return path_of(it, it ? it->text : ""); }

std::vector<chosen_adapter> adapters_of(const std::vector<option_read> & given_options, const will_run & answer) {
    std::vector<chosen_adapter> found;
    for (const chosen & adapter : answer.adapters) {
        if (adapter.why == "companion") {
            found.push_back({ MEMBER_PREFIX + adapter.member, 1 });
        }
    }
    for (const option_read & option : given_options) {
        const bool scaled = option.name == "--lora-scaled";
        if (option.row == nullptr || option.values.empty() || (!scaled && option.name != "--lora")) {
            continue;
        }
        std::string rest = option.values[0] + ",";
        for (const std::string & name : named_members(option.values[0], option.row->kind)) {
            const std::string part  = rest.substr(0, rest.find(','));
            const size_t      colon = part.rfind(':');
            found.push_back({ name, scaled && colon != std::string::npos ? strtof(part.c_str() + colon + 1, nullptr) : 1 });
            rest.erase(0, part.size() + 1);
        }
    }
    return found;
}

// What will run here: by the archive and the command line, without what the user does without.
will_run decided(const contents & found, const std::vector<option_read> & options) {
    will_run answer = decide(found.archive, options);
    if (!found.adapters) {
        answer.adapters.clear();
    }
    return answer;
}

std::string standard_input() {
    std::string text;
    char        piece[65536];
    for (size_t got; (got = fread(piece, 1, sizeof piece, stdin)) > 0 && text.size() <= MAX_DESCRIPTION;) {
        text.append(piece, got);
    }
    return text;
}

// What a description says, which the vectors call `archive`.
described_archive described(const std::string & json) {
    const common_json read = common_json::parse(json);
    described_archive archive;
    for (const common_json & m : read.at("members")) {
        archive.members.push_back({ m.at("path").get<std::string>(), m.at("role").get<std::string>(), m.at("offset").get<uint64_t>() });
    }
    const std::string word = read.at("dialect").get<std::string>();
    archive.manifest       = read.at("manifest").get<bool>();
    archive.standard       = read.at("default").get<std::string>();
    archive.speaks         = word == "lines" ? dialect::lines : word == "quoted" ? dialect::quoted : word == "zip-quoted" ? dialect::zip_quoted : dialect::native;
    archive.has_arguments  = read.at("arguments").is_string();
    archive.arguments      = archive.has_arguments ? read.at("arguments").get<std::string>() : "";
    return archive;
}

}

contents survey(const archive & container, uint64_t weights_offset) {
    contents         found;
    const places     listed = by_name(container);
    const auto       it     = listed.find(MANIFEST);
    found.archive.manifest  = it != listed.end();
    std::map<std::string, std::string> roles;
    if (found.archive.manifest) {
        const json_value   manifest = read_manifest(container, *it->second);
        const json_value * prefix   = manifest.field("prefix");
        const std::string  kind     = prefix == nullptr ? "" : prefix->text_of("kind");
        roles                       = roles_of(manifest, listed);
        found.name                  = manifest.text_of("name");
        found.classic               = kind != "none" && kind != "launcher";
        found.archive.standard      = manifest.text_of("default");
    } else {
        found.classic = true;
    }
    for (const member & m : container.members) {
        const auto role = roles.find(m.name);
        found.archive.members.push_back({ m.name,
                                          role != roles.end()     ? role->second
                                          : found.archive.manifest ? role_without_manifest(m.name)
                                                                   : legacy_role(m.name),
                                          m.offset });
        if (weights_offset != 0 && m.offset == weights_offset && role != roles.end() && role->second == "weights") {
            found.archive.standard = m.name;
        }
    }
    const auto arguments = listed.find(ARGUMENTS);
    if (arguments != listed.end()) {
        if (!arguments->second->stored || arguments->second->size > MAX_ARGUMENTS_SIZE) {
            throw archive_error(".args is compressed, or larger than 65,536 bytes");
        }
        found.archive.has_arguments = true;
        found.archive.arguments     = container.read(*arguments->second, MAX_ARGUMENTS_SIZE);
    }
    found.weights = path_of(decide(found.archive, {}).model);
    return found;
}

int tell_what_will_run(const contents & found) {
    if (found.classic) {
        fprintf(stderr, "llamafile: this file was made for another engine: llamafile-format inspect tells what it will run\n");
        return 2;
    }
    const std::string answer = to_json(decide(container().path.empty() ? described(standard_input()) : found.archive));
    fwrite(answer.data(), 1, answer.size(), stdout);
    return 0;
}

std::vector<std::string> command_line(const contents & found, std::vector<std::string> user) {
    const std::vector<std::string> accepted = take_accepted(user);
    for (const option_read & option : read(user)) {
        if (option.form == option_form::cut) {
            throw usage_error(option.written + " wants a value");
        }
    }
    user = divided(user);
    const parsed_arguments parsed = parse_arguments(found.archive.arguments, dialect::native);
    check_arguments_member(found.archive);
    if (found.archive.has_arguments) {
        if (found.archive.arguments.find('\0') != std::string::npos || parsed.dropped) {
            throw usage_error("the file's own arguments (.args) hold a NUL, or are more than 4,096");
        }
        judge(found, parsed, user, found.classic ? accepted : std::vector<std::string>());
    }
    std::vector<std::string> all = parsed.tokens;
    all.insert(parsed.rest < 0 ? all.end() : all.begin() + parsed.rest, user.begin(), user.end());
    const std::vector<option_read> options = read(all);
    std::vector<std::string>       unwanted;
    if (projector_is_off(options)) {
        unwanted.push_back("--mmproj");  // the engine loads a projector that is named, whatever it was told about projectors
    }
    if (!found.adapters) {
        unwanted.insert(unwanted.end(), { "--lora", "--lora-scaled" });
    }
    std::vector<std::string> out;
    for (const option_read & each : options) {
        if (!is_named(each, unwanted)) {
            out.insert(out.end(), all.begin() + (std::ptrdiff_t) each.first, all.begin() + (std::ptrdiff_t) each.end);
        }
    }
    return out;
}

chosen_models choose_models(const contents & found, const std::vector<std::string> & arguments) {
    const std::vector<option_read> options = read(arguments);
    const will_run                 answer  = decided(found, options);
    chosen_models                  chosen  = { path_of(answer.model), path_of(answer.projector), path_of(answer.draft), adapters_of(options, answer) };
    if (is_member_path(chosen.model) && container().find(chosen.model.substr(5)) == nullptr) {
        throw archive_error("the weights " + shown(chosen.model.substr(5)) +
                            " are compressed or missing and cannot be used in place; repack the file with llamafile-format");
    }
    return chosen;
}

std::vector<std::string> unnamed_models(const contents & found, const std::vector<std::string> & arguments) {
    const will_run           answer = decided(found, read(arguments));
    std::vector<std::string> out;
    const auto               add = [&](const char * name, const std::optional<chosen> & it) {
        if (it && (it->is_default() || it->why == "companion")) {
            out.insert(out.end(), { name, MEMBER_PREFIX + it->member });
        }
    };
    add("--model", answer.model);
    add("--mmproj", answer.projector);
    for (const chosen & adapter : answer.adapters) {
        add("--lora", adapter);
    }
    add("--spec-draft-model", answer.draft);
    return out;
}

std::string option(const std::vector<std::string> & arguments, const std::vector<std::string> & names) {
    std::string found;
    for (const option_read & each : read(arguments)) {
        if (is_named(each, names) && !each.values.empty()) {
            found = each.values[0];
        }
    }
    return found;
}

std::string spelled(const std::vector<std::string> & arguments, const std::vector<std::string> & names) {
    for (const option_read & each : read(arguments)) {
        if (is_named(each, names)) {
            return each.written;
        }
    }
    return "";
}

bool given(const std::vector<std::string> & arguments, const std::vector<std::string> & names) { return !spelled(arguments, names).empty(); }

bool take(std::vector<std::string> & arguments, const std::string & name) {
    std::vector<std::string> left;
    bool                     had = false;
    for (const option_read & each : read(arguments)) {
        const bool   it    = is_named(each, { name }) && each.form == option_form::plain;
        const size_t first = !it ? each.first : each.row != nullptr ? each.end : each.first + 1;  // what is on no list has no values
        had                = had || it;
        left.insert(left.end(), arguments.begin() + (std::ptrdiff_t) first, arguments.begin() + (std::ptrdiff_t) each.end);
    }
    arguments = left;
    return had;
}

}
