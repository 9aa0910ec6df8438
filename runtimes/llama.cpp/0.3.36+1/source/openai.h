// Where upstream's answers differ from the interface that its clients were written for.
#pragma once

#include <string>

#include <cpp-httplib/httplib.h>

namespace lff {

// One request and its answer.
class exchange_of {
public:
    explicit exchange_of(const std::string & path) : path(path) {}

    // The body to give to upstream. Throws `refused` for what cannot be answered.
    std::string ask(std::string body);
    // Puts right what upstream answered.
    void answer(httplib::Response & response);

private:
    std::string path;
};

}
