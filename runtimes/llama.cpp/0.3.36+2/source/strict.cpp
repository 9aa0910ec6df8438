#include "strict.h"

#include "json-schema-to-grammar.h"
#include "meter.h"
#include "schema_gate.h"

#include <cstring>
#include <set>
#include <string>
#include <vector>

namespace lff {
namespace {

// Keywords of JSON Schema (drafts 7 to 2020-12) that say which values are good, and to which type they speak. All others describe.
struct keyword {
    const char * name;
    const char * speaks_to;  // a type, or any
};

constexpr keyword KEYWORDS[] = {
    { "type", "any" }, { "enum", "any" }, { "const", "any" }, { "$ref", "any" }, { "$dynamicRef", "any" }, { "$recursiveRef", "any" },
    { "allOf", "any" }, { "anyOf", "any" }, { "oneOf", "any" }, { "not", "any" }, { "if", "any" }, { "then", "any" }, { "else", "any" },
    { "properties", "object" }, { "required", "object" }, { "additionalProperties", "object" }, { "patternProperties", "object" },
    { "propertyNames", "object" }, { "minProperties", "object" }, { "maxProperties", "object" }, { "dependencies", "object" },
    { "dependentRequired", "object" }, { "dependentSchemas", "object" }, { "unevaluatedProperties", "object" },
    { "items", "array" }, { "prefixItems", "array" }, { "additionalItems", "array" }, { "minItems", "array" }, { "maxItems", "array" },
    { "uniqueItems", "array" }, { "contains", "array" }, { "minContains", "array" }, { "maxContains", "array" }, { "unevaluatedItems", "array" },
    { "pattern", "string" }, { "format", "string" }, { "minLength", "string" }, { "maxLength", "string" },
    { "minimum", "number" }, { "maximum", "number" }, { "exclusiveMinimum", "number" }, { "exclusiveMaximum", "number" }, { "multipleOf", "number" },
};

using names = std::vector<std::string>;

// Follows upstream's reading of a schema (its json-schema.cpp): which keyword decides, and which are then not looked at.
class reading {
public:
    explicit reading(const common_json & whole) : whole(whole) {}

    void node(const common_json & schema, const std::string & place) {
        if (!schema.is_object()) {
            throw refused("strict: the schema at " + place + " is no object");
        }
        definitions(schema, place);
        if (schema.contains("$ref")) {
            keeps(schema, place, "any", { "$ref" });
            follow(schema.at("$ref"), place);
        } else if (schema.contains("anyOf")) {
            keeps(schema, place, "any", { "anyOf" });
            each(schema.at("anyOf"), place + "/anyOf");
        } else if (schema.contains("type") && schema.at("type").is_array()) {
            for (const common_json & type : schema.at("type")) {
                common_json one = schema;
                one["type"]     = type;
                node(one, place);
            }
        } else if (schema.contains("const") || schema.contains("enum")) {
            values(schema, place);
        } else {
            typed(schema, place);
        }
    }

private:
    const common_json &   whole;
    std::set<std::string> followed;

    [[noreturn]] static void fail(const std::string & name, const std::string & place) {
        throw refused("strict: this engine has no grammar for " + name + " at " + place + "; leave it out, or strict");
    }

    // Refuses keywords that speak to `type`, but for those that are `kept`.
    static void keeps(const common_json & schema, const std::string & place, const std::string & type, const names & kept) {
        for (const keyword & word : KEYWORDS) {
            const bool speaks = type == "any" || strcmp(word.speaks_to, "any") == 0 || type == word.speaks_to;
            bool       known  = false;
            for (const std::string & name : kept) {
                known = known || name == word.name;
            }
            if (speaks && !known && schema.contains(word.name) && !says_nothing(schema, word.name)) {
                fail(word.name, place);
            }
        }
    }

    static bool says_nothing(const common_json & schema, const std::string & name) {
        return name == "uniqueItems" && schema.at(name) == false;
    }

    void definitions(const common_json & schema, const std::string & place) {
        for (const char * name : { "$defs", "definitions" }) {
            if (schema.contains(name) && schema.at(name).is_object()) {
                for (const auto & item : schema.at(name).items()) {
                    node(item.value(), place + "/" + name + "/" + item.key());
                }
            }
        }
    }

    void each(const common_json & list, const std::string & place) {
        size_t index = 0;
        for (const common_json & item : list) {
            node(item, place + "/" + std::to_string(index++));
        }
    }

    // What a reference leads to, unless that was looked at. Upstream refuses one that leads nowhere.
    void follow(const common_json & reference, const std::string & place) {
        const std::string name = reference.is_string() ? reference.get<std::string>() : "";
        if (name.compare(0, 2, "#/") != 0) {
            fail("$ref " + name, place);
        }
        if (!followed.insert(name).second) {
            return;
        }
        const common_json * const found = referred(whole, name);
        if (found != nullptr) {
            node(*found, name);
        }
    }

    // Values are written out; a type beside them is not looked at.
    static void values(const common_json & schema, const std::string & place) {
        keeps(schema, place, "any", schema.contains("const") ? names{ "const", "type" } : names{ "enum", "type" });
        if (schema.contains("type")) {
            const common_json list = schema.contains("const") ? common_json::array({ schema.at("const") }) : schema.at("enum");
            for (const common_json & value : list) {
                if (schema.at("type") != type_of(value) && !(schema.at("type") == "number" && value.is_number())) {
                    fail("type beside values of another", place);
                }
            }
        }
    }

    static const char * type_of(const common_json & value) {
        return value.is_null() ? "null" : value.is_boolean() ? "boolean" : value.is_number_integer() ? "integer" : value.is_number() ? "number"
             : value.is_string() ? "string" : value.is_array() ? "array" : "object";
    }

    void typed(const common_json & schema, const std::string & place) {
        std::string type = schema.contains("type") && schema.at("type").is_string() ? schema.at("type").get<std::string>() : "";
        if (type.empty()) {
            const bool object = schema.contains("properties") || (schema.contains("additionalProperties") && schema.at("additionalProperties") != true);
            const bool list   = schema.contains("items") || schema.contains("prefixItems");
            const bool text   = schema.contains("pattern") || schema.contains("minLength") || schema.contains("maxLength") || known_format(schema);
            type              = object ? "object" : list ? "array" : text ? "string" : "any";
        }
        if (type == "object") {
            object(schema, place);
        } else if (type == "array") {
            list(schema, place);
        } else if (type == "string") {
            text(schema, place);
        } else if (type == "integer") {
            const char * const low  = schema.contains("minimum") ? "minimum" : "exclusiveMinimum";
            const char * const high = schema.contains("maximum") ? "maximum" : "exclusiveMaximum";
            keeps(schema, place, "number", { "type", low, high });
        } else {
            keeps(schema, place, type, { "type" });
        }
    }

    void object(const common_json & schema, const std::string & place) {
        keeps(schema, place, "object", { "type", "properties", "required", "additionalProperties" });
        const common_json properties = schema.value("properties", common_json::object());
        for (const auto & item : properties.items()) {
            node(item.value(), place + "/properties/" + item.key());
        }
        if (schema.contains("required") && schema.at("required").is_array()) {
            for (const common_json & name : schema.at("required")) {
                if (!name.is_string() || !properties.contains(name.get<std::string>())) {
                    fail("required of what properties lacks", place);
                }
            }
        }
        if (schema.contains("additionalProperties") && schema.at("additionalProperties").is_object()) {
            node(schema.at("additionalProperties"), place + "/additionalProperties");
        }
    }

    void list(const common_json & schema, const std::string & place) {
        const std::string name  = schema.contains("items") ? "items" : "prefixItems";
        const bool        tuple = schema.contains(name) && schema.at(name).is_array();
        keeps(schema, place, "array", tuple ? names{ "type", name } : names{ "type", name, "minItems", "maxItems" });
        if (tuple) {
            each(schema.at(name), place + "/" + name);
        } else if (schema.contains(name)) {
            node(schema.at(name), place + "/" + name);
        }
    }

    static bool known_format(const common_json & schema) {
        const std::string format = schema.contains("format") && schema.at("format").is_string() ? schema.at("format").get<std::string>() : "";
        return format == "date" || format == "time" || format == "date-time" || format == "uuid" ||
               (format.size() == 5 && format.compare(0, 4, "uuid") == 0 && format[4] >= '1' && format[4] <= '5');
    }

    static void text(const common_json & schema, const std::string & place) {
        if (schema.contains("pattern")) {
            keeps(schema, place, "string", { "type", "pattern" });
            if (schema.at("pattern").is_string() && !has_grammar(schema.at("pattern").get<std::string>())) {
                fail("the pattern " + schema.at("pattern").get<std::string>(), place);
            }
        } else if (known_format(schema)) {
            keeps(schema, place, "string", { "type", "format" });
        } else {
            keeps(schema, place, "string", { "type", "minLength", "maxLength" });
        }
    }

    // Of patterns that it has no grammar for, such as one without ^ and $, upstream makes that of any string.
    static bool has_grammar(const std::string & pattern) {
        return pattern.empty() || grammar_of(pattern) != grammar_of("any");
    }

    static std::string grammar_of(const std::string & pattern) {
        common_json schema = common_json::object();
        schema["type"]     = "string";
        schema["pattern"]  = pattern;
        return json_schema_to_grammar(schema, true);
    }
};

}

void check_strict(const common_json & schema) { reading(schema).node(schema, "#"); }

}
