// What this program does in its sandbox; each returns the exit status.
#pragma once

#include "model.h"
#include "plan.h"

namespace lff {

int complete(const settings & wanted, const std::vector<std::string> & arguments);
int trace(settings wanted);

// The door is opened before the sandbox closes: from then on this process connects to nothing, and opens no other.
class server;
server * open_server(const std::vector<std::string> & arguments);  // throws failure
int      serve(server * opened, const settings & wanted, const std::string & name);

}
