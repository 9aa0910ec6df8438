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

#include <string>
#include <vector>

// As bind(). Port 0 means the first free one from 8080 on: two servers that start at once cannot take the same.
int lff_bind(lff_socket socket, const struct sockaddr * address, socklen_t size);
// As accept(), for a connection whose request has arrived (lobby.h).
lff_socket lff_accept(lff_socket listening);
// As socket(). What the outer process has opened is given first: the inner one can open none.
lff_socket lff_open_socket(int family, int type, int protocol);

namespace lff {

constexpr int FIRST_PORT = 8080, LAST_PORT = 8179;

// The port that was bound last, 0 before. Set from another thread.
int  bound_port();
// Whether only this machine can reach it.
bool bound_to_loopback();

// One connection that waits at a listening socket, as accept() gives it.
lff_socket accept_one(lff_socket listening);

// Opens the listening sockets, before the server is started (doors.cpp). `hosts`: names, addresses or paths that end in .sock.
// Throws std::runtime_error. Windows has no two processes, and none of this: the list is empty.
std::vector<int>         open_doors(const std::vector<std::string> & hosts, int port);
std::vector<std::string> door_arguments();  // which the server is told in place of the user's
bool                     is_open_door(lff_socket socket);

}

#if defined(LFF_RENAME_BIND)
#  define bind                lff_bind
#  define accept(from, ...)   lff_accept(from)
#  define accept4(from, ...)  lff_accept(from)
#  define WSAAccept(from, ...) lff_accept(from)
#  if !defined(_WIN32)
#    define socket lff_open_socket
#  endif
#endif
