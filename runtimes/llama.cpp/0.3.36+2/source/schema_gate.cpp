#include "schema_gate.h"

#include "grammar_gate.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace lff {
namespace {

[[noreturn]] void too_many(const std::string & name, size_t most) {
    throw refused("a schema has more than " + std::to_string(most) + " " + name);
}

// Numbers of which the first must not be above the second. Those of counts cost what they say.
struct range {
    const char * least;
    const char * most;
    bool         counts;
};
constexpr range RANGES[] = { { "minItems", "maxItems", true }, { "minLength", "maxLength", true }, { "minimum", "maximum", false } };

double number_of(const common_json & schema, const char * name, double otherwise) {
    return schema.contains(name) && schema.at(name).is_number() ? schema.at(name).get<double>() : otherwise;
}

void check_ranges(const common_json & schema) {
    for (const range & one : RANGES) {
        const double least = number_of(schema, one.least, -HUGE_VAL), most = number_of(schema, one.most, HUGE_VAL);
        if (least > most) {
            throw refused(std::string(one.least) + " is more than " + one.most);
        }
        if (one.counts && least > (double) MAX_REPEAT) {
            throw refused(std::string(one.least) + " is more than " + std::to_string(MAX_REPEAT));
        }
        if (one.counts && most != HUGE_VAL && most > (double) INT_MAX) {
            throw refused(std::string(one.most) + " is more than " + std::to_string(INT_MAX));
        }
    }
}

// A request's schemas, and all that stands beside them: sizes that add up over the request.
class measure {
public:
    void all(const common_json & value, size_t path) {
        if (value.is_object()) {
            check_ranges(value);
            for (const auto & item : value.items()) {
                named(item.key(), item.value(), path);
            }
        } else if (value.is_array()) {
            for (const common_json & item : value) {
                all(item, path + 2);
            }
        }
    }

    // One schema, whose references lead into itself.
    void whole(const common_json & schema) {
        std::set<std::string> references;
        refer(schema, schema, references);
        choose(schema, schema);
    }

private:
    size_t paths = 0, patterns = 0, choices = 0;

    void named(const std::string & name, const common_json & value, size_t path) {
        const size_t longer = path + name.size() + 1;
        paths += longer;
        if (paths > MAX_PATHS) {
            throw refused("the names in a schema, one inside the other, are too long");
        }
        if (name == "properties" && value.is_object()) {
            properties(value);
        }
        if (name == "pattern" && value.is_string()) {
            check_pattern(value.get<std::string>());
            if (++patterns > MAX_PATTERNS) {
                too_many("patterns", MAX_PATTERNS);
            }
        }
        all(value, longer);
    }

    static void properties(const common_json & list) {
        if (list.size() > MAX_PROPERTIES) {
            throw refused("properties has " + std::to_string(list.size()) + " items, more than " + std::to_string(MAX_PROPERTIES));
        }
        for (const auto & item : list.items()) {
            if (item.key().size() > MAX_KEY) {
                throw refused("the name of a property has more than " + std::to_string(MAX_KEY) + " bytes");
            }
        }
    }

    // All references, wherever they stand: upstream follows each where it first meets it, inside those that it is following.
    void refer(const common_json & schema, const common_json & value, std::set<std::string> & references) {
        if (value.is_object()) {
            if (value.contains("$ref") && value.at("$ref").is_string() && references.insert(value.at("$ref").get<std::string>()).second) {
                if (references.size() > MAX_REFERENCES) {
                    too_many("references", MAX_REFERENCES);
                }
                check_circle(schema, value);
            }
            for (const auto & item : value.items()) {
                refer(schema, item.value(), references);
            }
        } else if (value.is_array()) {
            for (const common_json & item : value) {
                refer(schema, item, references);
            }
        }
    }

    // A reference to nothing but references must come to an end.
    static void check_circle(const common_json & schema, const common_json & first) {
        const common_json * at = &first;
        for (size_t steps = 0; at != nullptr && at->is_object() && at->contains("$ref") && at->at("$ref").is_string(); steps++) {
            if (steps > MAX_REFERENCES) {
                throw refused("a schema refers in a circle");
            }
            at = referred(schema, at->at("$ref").get<std::string>());
        }
    }

    // From every place, what its choices come to: upstream asks so what a value may be. For each of several types it makes a copy of
    // all that stands beside them, and below.
    void choose(const common_json & schema, const common_json & value, bool copy = false) {
        if (value.is_object()) {
            std::vector<const common_json *> above;
            follow(schema, value, above);
            const size_t times = value.contains("type") && value.at("type").is_array() ? std::max<size_t>(value.at("type").size(), 1) : 1;
            for (size_t i = 0; i < times; i++) {
                for (const auto & item : value.items()) {
                    choose(schema, item.value(), copy || i > 0);
                }
            }
        } else if (value.is_array()) {
            for (const common_json & item : value) {
                choose(schema, item, copy);
            }
        }
        if (copy) {
            chosen();
        }
    }

    void follow(const common_json & schema, const common_json & value, std::vector<const common_json *> & above) {
        if (!value.is_object() || std::find(above.begin(), above.end(), &value) != above.end()) {
            return;
        }
        above.push_back(&value);
        if (value.contains("$ref") && value.at("$ref").is_string()) {
            chosen();
            if (const common_json * target = referred(schema, value.at("$ref").get<std::string>())) {
                follow(schema, *target, above);
            }
        }
        for (const char * name : { "anyOf", "oneOf", "allOf", "type" }) {
            if (value.contains(name) && value.at(name).is_array()) {
                for (const common_json & item : value.at(name)) {
                    chosen();
                    follow(schema, item, above);
                }
            }
        }
        above.pop_back();
    }

    void chosen() {
        if (++choices > MAX_CHOICES) {
            throw refused("a schema comes to more than " + std::to_string(MAX_CHOICES) + " alternatives");
        }
    }
};

const common_json * member(const common_json * value, const char * name) {
    return value != nullptr && value->is_object() && value->contains(name) ? &value->at(name) : nullptr;
}

}

const common_json * referred(const common_json & whole, const std::string & reference) {
    const common_json * found = &whole;
    for (size_t at = 2; reference.compare(0, 2, "#/") == 0 && found != nullptr && at <= reference.size();) {
        const size_t      end  = std::min(reference.find('/', at), reference.size());
        const std::string step = reference.substr(at, end - at);
        if (found->is_object()) {
            found = found->contains(step) ? &found->at(step) : nullptr;
        } else if (found->is_array()) {
            size_t index = SIZE_MAX;
            try {
                index = (size_t) std::stoull(step);
            } catch (const std::logic_error &) {
            }
            found = index < found->size() ? &found->at(index) : nullptr;
        } else {
            found = nullptr;
        }
        at = end + 1;
    }
    return reference.compare(0, 2, "#/") == 0 ? found : nullptr;
}

void check_schemas(const common_json & request) {
    measure sum;
    for (const char * name : { "json_schema", "response_format", "tools", "text" }) {
        if (const common_json * value = member(&request, name)) {
            sum.all(*value, 0);
        }
    }
    const common_json * const format = member(&request, "response_format");
    std::vector<const common_json *> wholes = { member(&request, "json_schema"), member(format, "schema"), member(member(format, "json_schema"), "schema"),
                                                member(member(member(&request, "text"), "format"), "schema") };
    if (const common_json * tools = member(&request, "tools"); tools != nullptr && tools->is_array()) {
        for (const common_json & tool : *tools) {
            for (const char * name : { "parameters", "input_schema" }) {
                wholes.push_back(member(&tool, name));
                wholes.push_back(member(member(&tool, "function"), name));
            }
        }
    }
    for (const common_json * schema : wholes) {
        if (schema != nullptr) {
            sum.whole(*schema);
        }
    }
}

}
