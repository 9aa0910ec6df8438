// Builds without a server: the reference flavour and wasm32.
#include "serve.h"

#include "session.h"

namespace lff {

int serve(const contents &, std::vector<std::string>) {
    throw failure("this build has no server; use --complete -p PROMPT");
}

}
