#include "lobby.h"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <vector>

#if defined(_WIN32)
#  define poll WSAPoll
#else
#  include <fcntl.h>
#  include <netinet/in.h>
#  include <netinet/tcp.h>
#  include <poll.h>
#  include <sys/resource.h>
#  include <unistd.h>
#endif

namespace lff {
namespace {

using clock = std::chrono::steady_clock;

#if defined(_WIN32)
constexpr lff_socket NONE = INVALID_SOCKET;
constexpr int        TICK = 20;  // milliseconds; nothing wakes a poll there
void close_socket(lff_socket socket) { closesocket(socket); }
bool would_block() { return WSAGetLastError() == WSAEWOULDBLOCK; }
void never_block(lff_socket socket) {
    u_long yes = 1;
    ioctlsocket(socket, FIONBIO, &yes);
}
#else
constexpr lff_socket NONE = -1;
constexpr int        TICK = 200;
void close_socket(lff_socket socket) { close(socket); }
bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }
void never_block(lff_socket socket) {
    fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK);
    fcntl(socket, F_SETFD, FD_CLOEXEC);
}
#endif

struct visitor {
    lff_socket        socket = NONE;
    std::string       text;
    clock::time_point since = clock::now();  // of the first byte, or of the connection
    bool              leaving = false;  // has its answer: nothing that it sends is looked at

    int patience() const {
        return leaving ? PARTING_SECONDS : text.empty() ? IDLE_SECONDS : text.find("\r\n\r\n") == std::string::npos ? HEADERS_SECONDS : BODY_SECONDS;
    }
};

// What threads that answer and threads that accept share.
struct exchange {
    std::mutex                        lock;
    std::vector<visitor>              returned;  // answered, and not gone
    std::map<lff_socket, std::string> arrived;
    std::atomic<int>                  active{ 0 };
    int                               bell[2] = { -1, -1 };  // written to when there is something for poll() to see
};

exchange & shared() {
    static exchange only;
    return only;
}

void ring() {
#if !defined(_WIN32)
    if (shared().bell[1] >= 0) {
        const ssize_t done = write(shared().bell[1], "", 1);
        (void) done;  // a full pipe rings too
    }
#endif
}

// The value of a header, empty if absent. `head` ends with the empty line.
std::string header(const std::string & head, const char * name) {
    const size_t length = strlen(name);
    for (size_t line = head.find("\r\n"); line != std::string::npos; line = head.find("\r\n", line + 2)) {
        const size_t begin = line + 2;
        if (head.size() - begin <= length || head[begin + length] != ':') {
            continue;
        }
        const bool same = std::equal(name, name + length, head.begin() + (std::ptrdiff_t) begin,
                                     [](char a, char b) { return a == std::tolower((unsigned char) b); });
        if (same) {
            const size_t value = head.find_first_not_of(" \t", begin + length + 1);
            return head.substr(value, head.find("\r\n", begin) - value);
        }
    }
    return "";
}

// Whether somebody should look at what has arrived: the whole request, or one that cannot be waited for.
bool is_whole(const std::string & text) {
    const size_t end = text.find("\r\n\r\n");
    if (end == std::string::npos) {
        return text.size() > MAX_HEADERS;
    }
    const std::string head   = text.substr(0, end + 4);
    const std::string length = header(head, "content-length");
    if (length.empty() || length.size() > 9 || length.find_first_not_of("0123456789") != std::string::npos ||
        !header(head, "transfer-encoding").empty() || !header(head, "expect").empty()) {
        return true;
    }
    const size_t size = std::stoul(length);
    return size > MAX_ARRIVING || text.size() >= end + 4 + size;
}

class lobby {
public:
    ~lobby() {
        for (const visitor & guest : waiting) {
            close_socket(guest.socket);
        }
        for (const visitor & guest : whole) {
            close_socket(guest.socket);
        }
    }

    lff_socket next(lff_socket listening) {
        never_block(listening);
        for (;;) {
            take_returned();
            const lff_socket chosen = choose();
            if (chosen != NONE) {
                return chosen;
            }
            std::vector<pollfd> watched = watch(listening);
            poll(watched.data(), watched.size(), TICK);
            if (watched[0].revents != 0 && !accept_all(listening)) {
                return NONE;
            }
            read_all(watched);
            show_out();
        }
    }

private:
    std::vector<visitor> waiting;
    std::deque<visitor>  whole;
    size_t               held = 0;

    // The first of those that are whole, if it may be answered now.
    lff_socket choose() {
        const int active = shared().active;
        for (auto guest = whole.begin(); guest != whole.end(); ++guest) {
            if (active < MAX_ACTIVE || (active < MAX_ACTIVE + MAX_ASIDE && guest->text.compare(0, 4, "GET ") == 0)) {
                const lff_socket socket = guest->socket;
                held -= guest->text.size();
                {
                    std::lock_guard<std::mutex> guard(shared().lock);
                    shared().arrived[socket] = std::move(guest->text);
                }
                shared().active++;
                whole.erase(guest);
                return socket;
            }
        }
        return NONE;
    }

    void take_returned() {
        std::vector<visitor> back;
        {
            std::lock_guard<std::mutex> guard(shared().lock);
            back.swap(shared().returned);
        }
        for (visitor & guest : back) {
            held += guest.text.size();
            (!guest.leaving && is_whole(guest.text) ? (void) whole.push_back(std::move(guest)) : waiting.push_back(std::move(guest)));
        }
    }

    std::vector<pollfd> watch(lff_socket listening) {
        std::vector<pollfd> watched = { { listening, POLLIN, 0 } };
        for (const visitor & guest : waiting) {
            const bool full = held > MAX_HELD && guest.text.size() > MAX_HEADERS;
            watched.push_back({ guest.socket, (short) (full ? 0 : POLLIN), 0 });
        }
#if !defined(_WIN32)
        if (shared().bell[0] >= 0) {
            watched.push_back({ shared().bell[0], POLLIN, 0 });
        }
#endif
        return watched;
    }

    bool accept_all(lff_socket listening) {
        for (int i = 0; i < 64; i++) {
            const lff_socket socket = accept_one(listening);
            if (socket == NONE) {
#if defined(_WIN32)
                return would_block();
#else
                return would_block() || errno == EMFILE || errno == ENFILE || errno == ECONNABORTED || errno == ENOBUFS || errno == ENOMEM;
#endif
            }
            never_block(socket);
            const int yes = 1;
            setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, (const char *) &yes, sizeof yes);
            if (waiting.size() >= most_waiting()) {
                show_out_one();
            }
            visitor guest;
            guest.socket = socket;
            waiting.push_back(std::move(guest));
        }
        return true;
    }

    static size_t most_waiting() {
#if defined(_WIN32)
        return MAX_WAITING;
#else
        static const size_t most = [] {
            rlimit files = {};
            getrlimit(RLIMIT_NOFILE, &files);
            if (files.rlim_cur < MAX_WAITING * 2 && files.rlim_max > files.rlim_cur) {
                files.rlim_cur = std::min<rlim_t>(MAX_WAITING * 2, files.rlim_max);
                setrlimit(RLIMIT_NOFILE, &files);
                getrlimit(RLIMIT_NOFILE, &files);
            }
            const size_t others = MAX_ACTIVE + MAX_ASIDE + 64;
            return std::min<size_t>(MAX_WAITING, files.rlim_cur > 2 * others ? (size_t) files.rlim_cur - others : (size_t) files.rlim_cur / 2);
        }();
        return most;
#endif
    }

    void read_all(const std::vector<pollfd> & watched) {
        std::vector<visitor> still;
        const size_t         before = std::min(waiting.size(), watched.size() - 1);
        for (size_t i = 0; i < waiting.size(); i++) {
            visitor & guest  = waiting[i];
            const bool asked = i < before && watched[i + 1].fd == guest.socket && watched[i + 1].revents != 0;
            if (!asked || read(guest)) {
                (asked && !guest.leaving && is_whole(guest.text) ? (void) whole.push_back(std::move(guest)) : still.push_back(std::move(guest)));
            }
        }
        waiting.swap(still);
#if !defined(_WIN32)
        char rings[256];
        while (shared().bell[0] >= 0 && ::read(shared().bell[0], rings, sizeof rings) == (ssize_t) sizeof rings) {
        }
#endif
    }

    // False if the connection is gone: it is closed then.
    bool read(visitor & guest) {
        char piece[65536];
        for (int i = 0; i < 16; i++) {
            const auto got = recv(guest.socket, piece, sizeof piece, 0);
            if (got > 0 && guest.leaving) {
                continue;
            }
            if (got > 0) {
                guest.since = guest.text.empty() ? clock::now() : guest.since;
                guest.text.append(piece, (size_t) got);
                held += (size_t) got;
                continue;
            }
            if ((got < 0 && would_block()) || (!guest.leaving && is_whole(guest.text))) {
                return true;
            }
            held -= guest.text.size();
            close_socket(guest.socket);
            return false;
        }
        return true;
    }

    void close_guest(size_t index) {
        held -= waiting[index].text.size();
        close_socket(waiting[index].socket);
        waiting.erase(waiting.begin() + (std::ptrdiff_t) index);
    }

    void show_out() {
        const clock::time_point now = clock::now();
        for (size_t i = waiting.size(); i-- > 0;) {
            if (now - waiting[i].since > std::chrono::seconds(waiting[i].patience())) {
                close_guest(i);
            }
        }
    }

    void show_out_one() {
        const auto oldest = std::min_element(waiting.begin(), waiting.end(), [](const visitor & a, const visitor & b) {
            return a.since < b.since;
        });
        close_guest((size_t) (oldest - waiting.begin()));
    }
};

}

lff_socket next_request(lff_socket listening) {
#if !defined(_WIN32)
    static const bool hung = [] {
        if (pipe(shared().bell) == 0) {
            never_block(shared().bell[0]);
            never_block(shared().bell[1]);
        }
        return true;
    }();
    (void) hung;
#endif
    static thread_local lobby own;  // a listener has a thread
    return own.next(listening);
}

std::string arrived(lff_socket connection) {
    std::lock_guard<std::mutex> guard(shared().lock);
    const auto  found = shared().arrived.find(connection);
    std::string text;
    if (found != shared().arrived.end()) {
        text = std::move(found->second);
        shared().arrived.erase(found);
    }
    return text;
}

namespace {

void give_back(visitor guest) {
    {
        std::lock_guard<std::mutex> guard(shared().lock);
        shared().returned.push_back(std::move(guest));
    }
    shared().active--;
    ring();
}

}

void wait_again(lff_socket connection, std::string rest) {
    visitor guest;
    guest.socket = connection;
    guest.text   = std::move(rest);
    give_back(std::move(guest));
}

void see_off(lff_socket connection) {
#if defined(_WIN32)
    shutdown(connection, SD_SEND);
#else
    shutdown(connection, SHUT_WR);
#endif
    visitor guest;
    guest.socket  = connection;
    guest.leaving = true;
    give_back(std::move(guest));
}

void hang_up(lff_socket connection) {
    // What is still on its way is read for a moment: closed over unread bytes, a connection takes its answer with it.
#if defined(_WIN32)
    shutdown(connection, SD_SEND);
#else
    shutdown(connection, SHUT_WR);
#endif
    char                    piece[65536];
    const clock::time_point until = clock::now() + std::chrono::milliseconds(100);
    while (clock::now() < until && ready(connection, false, 20)) {
        if (recv(connection, piece, sizeof piece, 0) <= 0) {
            break;
        }
    }
    close_socket(connection);
    shared().active--;
    ring();
}

bool ready(lff_socket connection, bool to_write, int milliseconds) {
    pollfd watched = { connection, (short) (to_write ? POLLOUT : POLLIN), 0 };
    return poll(&watched, 1, milliseconds) > 0;
}

}
