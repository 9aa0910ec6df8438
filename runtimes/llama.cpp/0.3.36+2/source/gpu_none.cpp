// Builds that compute on the CPU alone.
#include "gpu.h"

#include "llama.h"

#include <cstdio>

namespace lff {

bool has_gpu() { return false; }
bool open_gpu(const gpu_wish &) { return false; }
void close_gpu() {}

const std::string & gpu_name() {
    static const std::string none;
    return none;
}

int try_gpu() { return 1; }

void fit_to_gpu(const std::string &, int, llama_model_params & loading, llama_context_params &) { loading.n_gpu_layers = 0; }

int list_gpus() {
    printf("no GPU is used by this build; the CPU is\n");
    return 0;
}

}
