// The engine's C interface, once it is loaded.
#pragma once

#if defined(_WIN32) && !defined(_Return_type_success_)
#  define _Return_type_success_(expr)  // the next header thinks that every compiler there knows this word
#endif
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wmacro-redefined"  // and has words that Windows' headers have too
#include <onnxruntime_c_api.h>
#pragma clang diagnostic pop

#include <stdexcept>
#include <string>

namespace lff {

struct failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Loads the engine and makes its environment. To be called before the sandbox is closed: it is the last time that code is loaded.
void open_engine(void * library);

const OrtApi & api();
OrtEnv *       engine_environment();

// Throws failure with the engine's own words.
void check(OrtStatus * status);

}
