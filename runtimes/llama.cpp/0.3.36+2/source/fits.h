// Whether what goes along with a model was made for it.
#pragma once

#include "plan.h"

#include <string>
#include <vector>

namespace lff {

// Throws `failure`, one line that names both sides and how to do without, if an adapter does not fit the model. What cannot be
// read is passed over: loading it says what is wrong.
void check_adapters(const std::string & model, const std::vector<chosen_adapter> & adapters);

// Throws `failure` if the tokenizer puts tokens around every text that the model has not: the engine would take the model, and
// end itself at the first text.
void check_tokenizer(const std::string & model);

// What the engine said of something that it could not load, with the option that leaves that out.
std::string with_way_out(const std::string & error);

}
