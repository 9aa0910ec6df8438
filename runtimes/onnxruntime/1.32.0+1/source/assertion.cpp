// What the JSON library of the other engine calls where it finds itself contradicted.
#include "ggml.h"

#include <cstdio>
#include <cstdlib>

extern "C" void ggml_abort(const char *, int line, const char *, ...) {
    fprintf(stderr, "llamafile: a text could not be read (%d)\n", line);
    fflush(stdout);
    _Exit(1);
}
