// Builds without a server: the reference flavour and wasm32.
#include "serve.h"

#include "session.h"

namespace lff {

std::vector<int> listen_for(const std::vector<std::string> &) { return {}; }
bool             wants_browser(const std::vector<std::string> &) { return false; }
int              seconds_of(const std::vector<std::string> &) { return 0; }

int serve(const contents &, std::vector<std::string>, bool) {
    throw failure("this build has no server; use --complete -p PROMPT");
}

}
