// The listening sockets, as the outer process has them: it keeps them while inner ones come and go, and answers whoever
// comes when there is none. It sends one fixed answer and reads nothing that it looks at.
#pragma once

#include <string>
#include <vector>

namespace lff {

#if !defined(_WIN32) && !defined(__wasi__)

// Tells whoever comes that there is nobody, and to come back: 503 with Retry-After.
class porter {
public:
    ~porter();
    void turn_away(int listening);  // takes those who wait; never blocks
    void see_off(double now);       // lets go of those who have their answer; `now` in seconds, monotonic
    bool is_idle() const { return leaving.empty(); }

private:
    struct guest {
        int    fd;
        double until;
    };
    std::vector<guest> leaving;  // who has the answer, and is given time to read it
};

// Asks, as a client, whether the server behind a listening socket answers yet: GET /health, 200. Never blocks.
class knock {
public:
    // `prefix`: what the server's paths begin with; may be empty.
    knock(int listening, const std::string & prefix);
    ~knock() { give_up(); }
    knock(const knock &) = delete;
    knock & operator=(const knock &) = delete;
    bool is_answered(double now);  // goes one step further; `now` in seconds, monotonic

private:
    void give_up();
    void come(double now);

    int         listening, fd = -1;
    double      since = 0;
    std::string request;
    size_t      sent = 0;
    std::string got;
};

// The address of a listening socket, for people and browsers: http://127.0.0.1:8080/.
std::string address_of(int listening);

#endif

}
