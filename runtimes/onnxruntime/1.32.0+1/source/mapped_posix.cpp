#include "mapped.h"

#include <sys/mman.h>
#include <unistd.h>

#include <stdexcept>

namespace lff {

char * mapped(const member & m) {
    const uint64_t page  = (uint64_t) sysconf(_SC_PAGESIZE), start = m.offset / page * page;
    const size_t   count = (size_t) (m.offset - start + m.size);
    void * const   at    = mmap(nullptr, count, PROT_READ, MAP_PRIVATE, (int) container().file->descriptor(), (off_t) start);
    if (at == MAP_FAILED) {
        throw std::runtime_error("the member " + m.name + " cannot be mapped");
    }
    return (char *) at + (m.offset - start);
}

}
