// What `strict` promises: that an answer follows its schema. Upstream makes a grammar of a schema and leaves out what it has no
// grammar for, without a word to whoever asked.
#pragma once

#include "json.h"

namespace lff {

// Throws `refused`, naming the keyword and its place, unless upstream's grammar keeps to all of the schema.
void check_strict(const common_json & schema);

}
