#include "openai.h"

namespace lff {

std::string exchange_of::ask(std::string body) { return body; }

void exchange_of::answer(httplib::Response &) {}

}
