// What a grammar comes to with its repetitions written out. Upstream's parser writes them out while it reads: of a few hundred bytes
// gigabytes, and of {5,1} without end. Here they are counted first, over the text, in one pass and without recursion.
#pragma once

#include <string>

namespace lff {

// Throws `refused` unless upstream's parser can be given the text.
void check_unfolding(const std::string & text);

}
