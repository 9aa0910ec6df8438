// Where the server listens: what bind() and accept() are renamed to in the HTTP library (CMakeLists.txt).
#pragma once

#if defined(_WIN32)
#  ifndef NOMINMAX
#    define NOMINMAX
#  endif
#  include <winsock2.h>
#  include <ws2tcpip.h>
using lff_socket = SOCKET;
#else
#  include <sys/socket.h>
using lff_socket = int;
#endif

#include <functional>

// As bind(). Port 0 means the first free one from 8080 on: two servers that start at once cannot take the same.
int lff_bind(lff_socket socket, const struct sockaddr * address, socklen_t size);
// As accept(), for a connection whose request has arrived (lobby.h).
lff_socket lff_accept(lff_socket listening);

namespace lff {

constexpr int FIRST_PORT = 8080, LAST_PORT = 8179;

// The port that was bound last, 0 before. Set from another thread.
int  bound_port();
// Whether only this machine can reach it.
bool bound_to_loopback();

// One connection that waits at a listening socket, as accept() gives it.
lff_socket accept_one(lff_socket listening);

}

#if defined(LFF_RENAME_BIND)
#  define bind                       lff_bind
#  define accept(socket, ...)        lff_accept(socket)
#  define accept4(socket, ...)       lff_accept(socket)
#  define WSAAccept(socket, ...)     lff_accept(socket)
#endif
