// How a run that fails ends: with one line, and nothing that is started to look at it.
#pragma once

#include <exception>
#include <string>

namespace lff {

// From here on, what the engine gives up on (an assertion, an exception that nobody catches, no memory) ends the process
// with one line and exit status 1, not with a debugger. With `tracing`, that line is also an event on standard output.
void end_in_one_line(bool tracing);

// One line on standard error; when tracing, the event `error` on standard output too.
void report_failure(const std::string & what);

// The same of what was thrown. The exit status: that of a fault of the GPU's, or 1.
int report_fault(const std::exception & error);

// What the device in use failed at: ends the process so that it is started again on the CPU. Returns if none is in use.
void blame_device(const std::string & what);

// Of a process that ended by a signal, what that says: "the engine crashed (segmentation fault)".
std::string told_of(int signal);
// Whether it is one that nobody sends to end a process, but SIGKILL, which nobody can explain.
bool is_crash(int signal);

}
