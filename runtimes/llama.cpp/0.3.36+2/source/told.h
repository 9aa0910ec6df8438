// What the inner process tells the outer one: a page of memory that both have.
#pragma once

#include <string>

namespace lff {

void make_told();  // the outer process, before there is an inner one; without it nothing is told

void        tell_device(const std::string & name);  // what it computes on; empty: the CPU
std::string told_device();

void tell_begun();  // a part of the answer is printed: it cannot begin again
bool told_begun();
void forget_told();

#if defined(_WIN32)
// There no process has the memory of another that it came from: a process that is started inherits the page by this word.
std::string hand_over_told();
void        take_told(const std::string & word);
#endif

}
