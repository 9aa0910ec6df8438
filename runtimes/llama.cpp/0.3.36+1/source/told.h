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

}
