// Where connections wait. Upstream gives each one a thread from the moment it is accepted: a few hundred that say nothing
// use up its memory, a thousand all its threads. Here a connection gets a thread when its request has arrived whole.
#pragma once

#include "listen.h"

#include <cstddef>
#include <string>

namespace lff {

constexpr size_t MAX_WAITING  = 2000;       // connections; beyond, the one that has been silent longest is closed
constexpr size_t MAX_HEADERS  = 64u << 10;  // bytes of a request before its body
constexpr size_t MAX_ARRIVING = 32u << 20;  // bytes of a body
constexpr size_t MAX_HELD     = 128u << 20; // bytes of all requests that are arriving
constexpr int    MAX_ACTIVE   = 256;        // requests that are answered at once; others wait their turn
constexpr int    MAX_ASIDE    = 32;         // and so many more that only ask how things are (GET)
constexpr int    IDLE_SECONDS = 30, HEADERS_SECONDS = 10, BODY_SECONDS = 60, PARTING_SECONDS = 10;

// As accept(): the next connection whose request is here; its bytes are taken with arrived(). Fails as accept() does
// when `listening` is closed.
lff_socket  next_request(lff_socket listening);
std::string arrived(lff_socket connection);

// What becomes of a connection when its request was answered. `rest`: bytes of its next request.
void wait_again(lff_socket connection, std::string rest);
void hang_up(lff_socket connection);
// As hang_up(), but what its sender still sends is read, and thrown away, while others are served: closed over unread bytes a
// connection takes its answer with it.
void see_off(lff_socket connection);

// Waits up to `milliseconds` until bytes can be read from, or written to, a connection.
bool ready(lff_socket connection, bool to_write, int milliseconds);

}
