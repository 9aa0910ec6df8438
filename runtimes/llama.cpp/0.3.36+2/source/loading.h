// What the engine says while it loads. Of a model that it cannot load it says three things or five, one following from the
// other; the user is told the first. If it goes on, all of it is printed as it would have been.
#pragma once

#include <string>

namespace lff {

void        hold_errors();   // from here on
void        watch_loading();  // from here on it must make progress (watch.h), until it is done
void        say_later(const std::string & line);  // on standard error, when it has begun to answer
void        loaded();        // the engine has begun to answer: nothing is held back any more, and loading is not watched any more
std::string first_error();   // that was held back; empty if none

}
