// Forced in front of upstream's server-common.cpp (cmake/server.cmake): where a call is demanded and the model's template has none,
// upstream would answer with prose, as if nobody had asked.
#pragma once

#include "chat.h"

#include <stdexcept>

namespace lff {

inline common_chat_params apply_template(const common_chat_templates * templates, const common_chat_templates_inputs & inputs) {
    common_chat_params made = common_chat_templates_apply(templates, inputs);
    if (!inputs.tools.empty() && inputs.tool_choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED && made.grammar.empty()) {
        throw std::invalid_argument("tool_choice demands a call, and this model's chat template knows no calls; with auto it answers in words");
    }
    return made;
}

}

#define common_chat_templates_apply lff::apply_template
