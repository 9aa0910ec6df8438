#include "engine.h"

#include "kept.h"

namespace lff {
namespace {

const OrtApi * functions   = nullptr;
OrtEnv *       environment = nullptr;

}

const OrtApi & api() { return *functions; }
OrtEnv *       engine_environment() { return environment; }

void check(OrtStatus * status) {
    if (status != nullptr) {
        const std::string words = functions->GetErrorMessage(status);
        functions->ReleaseStatus(status);
        throw failure("the engine: " + words);
    }
}

void open_engine(void * library) {
    using entry    = const OrtApiBase * (*) ();
    const auto get = (entry) function_of(library, "OrtGetApiBase");
    functions      = get == nullptr ? nullptr : get()->GetApi(ORT_API_VERSION);
    if (functions == nullptr) {
        throw failure("the library is none that this program can use");
    }
    check(functions->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "llamafile", &environment));
    check(functions->DisableTelemetryEvents(environment));
}

}
