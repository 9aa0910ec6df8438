// One executable for every processor of a family. The engine's CPU kernels are compiled once for each level, with all
// external names of the later copies suffixed (cmake/kernels.cmake); this picks a copy at the first use.

#include "build.h"
#include "cpu_words.h"
#include "platform.h"

typedef struct ggml_backend_reg * ggml_backend_reg_t;

// levels.inc: LFF_LEVEL(NAME) for each copy that was compiled, in rising order; the first runs on every processor.
extern "C" {
#define LFF_LEVEL(level) ggml_backend_reg_t ggml_backend_cpu_reg_##level(void);
#include "levels.inc"
#undef LFF_LEVEL
ggml_backend_reg_t ggml_backend_cpu_reg(void);
}

namespace {

using lff::cpu_words;

struct kernels {
    cpu_words::level level;
    ggml_backend_reg_t (*registered)(void);
};

constexpr kernels COPIES[] = {
#define LFF_LEVEL(level) { cpu_words::level, ggml_backend_cpu_reg_##level },
#include "levels.inc"
#undef LFF_LEVEL
};

// The last that the processor has. LFF_CPU=v1, v3 … asks for less, to reproduce what another machine did.
const kernels & chosen() {
    static const kernels & found = []() -> const kernels & {
        const cpu_words   cpu    = lff::read_cpu();
        const std::string wanted = lff::environment("LFF_CPU");
        const kernels *   best   = &COPIES[0];
        for (const kernels & copy : COPIES) {
            if (!cpu.has(copy.level)) {
                continue;
            }
            best = &copy;
            if (wanted == cpu_words::NAMES[copy.level]) {
                break;
            }
        }
        return *best;
    }();
    return found;
}

}

ggml_backend_reg_t ggml_backend_cpu_reg(void) { return chosen().registered(); }

namespace lff {

const char * cpu_level() { return cpu_words::NAMES[chosen().level]; }

}
