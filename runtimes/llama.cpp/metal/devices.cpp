// Lists what Metal offers, and opens the first device: so every part of the backend is linked.
#include "ggml-backend.h"

#include <cstdio>

int main() {
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        size_t free = 0, total = 0;
        ggml_backend_dev_memory(device, &free, &total);
        std::printf("%s\t%s\t%zu\t%zu\n", ggml_backend_dev_name(device), ggml_backend_dev_description(device), free, total);
    }
    if (ggml_backend_dev_count() == 0) {
        std::puts("none");
        return 1;
    }
    ggml_backend_t backend = ggml_backend_dev_init(ggml_backend_dev_get(0), nullptr);
    if (backend == nullptr) {
        return 2;
    }
    ggml_backend_free(backend);
    return 0;
}
