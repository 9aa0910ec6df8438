#include "model.h"

#include "mapped.h"
#include "platform.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

namespace lff {
namespace {

constexpr uint32_t CONTEXT   = 2048;
constexpr size_t   MAX_FILES = 4096;  // beside a model

// A name as the engine takes names of files here.
std::basic_string<ORTCHAR_T> spelled_for_engine(const std::string & name) {
#if defined(_WIN32)
    return widen(name);
#else
    return name;
#endif
}

float widened(uint16_t half) {
    const int   exponent = half >> 10 & 31;
    const float fraction = (float) (half & 1023);
    const float value    = exponent == 0    ? std::ldexp(fraction, -24)
                           : exponent == 31 ? (fraction == 0 ? INFINITY : NAN)
                                            : std::ldexp(fraction + 1024, exponent - 25);
    return half >> 15 ? -value : value;
}

std::string metadata(OrtSession * session, OrtAllocator * memory, const char * key) {
    OrtModelMetadata * all   = nullptr;
    char *             value = nullptr;
    check(api().SessionGetModelMetadata(session, &all));
    OrtStatus * status = api().ModelMetadataLookupCustomMetadataMap(all, memory, key, &value);
    api().ReleaseModelMetadata(all);
    check(status);
    const std::string text = value == nullptr ? "" : value;
    if (value != nullptr) {
        memory->Free(memory, value);
    }
    return text;
}

// Files of weights beside the model, by the names that it calls them.
void add_files_beside(OrtSessionOptions * options, const member & graph) {
    const std::string                         folder = graph.name.substr(0, graph.name.rfind('/') + 1);
    std::vector<std::basic_string<ORTCHAR_T>> names;
    std::vector<const ORTCHAR_T *>            words;
    std::vector<char *>                       places;
    std::vector<size_t>                       sizes;
    for (const member & m : container().members) {
        const bool beside = m.stored && m.name != graph.name && m.size > 0 && m.name.compare(0, folder.size(), folder) == 0;
        const bool data   = m.name.find("META-LLAMAFILE/") != 0 && m.name.find("runtimes/") != 0;
        if (beside && data && names.size() < MAX_FILES) {
            names.push_back(spelled_for_engine(m.name.substr(folder.size())));
            places.push_back(mapped(m));
            sizes.push_back((size_t) m.size);
        }
    }
    for (const std::basic_string<ORTCHAR_T> & name : names) {
        words.push_back(name.c_str());
    }
    if (!names.empty()) {
        check(api().AddExternalInitializersFromFilesInMemory(options, words.data(), places.data(), sizes.data(), names.size()));
    }
}

OrtSession * opened(const member & graph, int threads) {
    OrtSessionOptions * options = nullptr;
    OrtSession *        session = nullptr;
    check(api().CreateSessionOptions(&options));
    try {
        check(api().SetIntraOpNumThreads(options, threads));
        check(api().SetInterOpNumThreads(options, 1));
        check(api().AddSessionConfigEntry(options, "session.intra_op.allow_spinning", "0"));
        add_files_beside(options, graph);
        check(api().CreateSessionFromArray(engine_environment(), mapped(graph), (size_t) graph.size, options, &session));
    } catch (...) {
        api().ReleaseSessionOptions(options);
        throw;
    }
    api().ReleaseSessionOptions(options);
    return session;
}

}

model::model(const settings & wanted) {
    const member * graph = is_member_path(wanted.model) ? container().find(wanted.model.substr(strlen(MEMBER_PREFIX))) : nullptr;
    if (graph == nullptr) {
        throw failure("this engine opens models that are in the file; it has none called " + wanted.model);
    }
    crew = wanted.threads > 0 ? std::min(wanted.threads, 256) : std::max(1, std::min(8, (int) std::thread::hardware_concurrency()));
    size = wanted.context > 0 ? wanted.context : CONTEXT;
    check(api().GetAllocatorWithDefaultOptions(&memory));
    check(api().CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &place));
    session = opened(*graph, crew);
    const std::string tokens = metadata(session, memory, "llamafile.tokenizer");
    if (tokens.empty()) {
        throw failure("the model carries no tokenizer: its metadata have no llamafile.tokenizer");
    }
    talk = std::make_unique<tokenizer>(tokens);
    read_ports();
    feed({ 0 });  // how wide a row of logits is, told by the first; and a model that cannot compute is told of now
    reset();
    if (talk->size() > width) {
        throw failure("the model's tokenizer has more tokens than the model");
    }
}

model::~model() {
    drop_cache();
    if (session != nullptr) {
        api().ReleaseSession(session);
    }
    api().ReleaseMemoryInfo(place);
}

// The usual names: input_ids, attention_mask, position_ids, past_key_values.N.key and present.N.key; what else a model wants is not known.
void model::read_ports() {
    size_t count = 0;
    check(api().SessionGetInputCount(session, &count));
    bool ids = false;
    for (size_t i = 0; i < count; i++) {
        char *        name = nullptr;
        OrtTypeInfo * type = nullptr;
        check(api().SessionGetInputName(session, i, memory, &name));
        port one;
        one.name = name;
        memory->Free(memory, name);
        if (one.name == "input_ids" || one.name == "attention_mask" || one.name == "position_ids") {
            ids           = ids || one.name == "input_ids";
            has_mask      = has_mask || one.name == "attention_mask";
            has_positions = has_positions || one.name == "position_ids";
            continue;
        }
        if (one.name.compare(0, 16, "past_key_values.") != 0) {
            throw failure("the model wants " + one.name + ", which this engine does not know how to give");
        }
        one.output = "present." + one.name.substr(16);
        check(api().SessionGetInputTypeInfo(session, i, &type));
        const OrtTensorTypeAndShapeInfo * shape = nullptr;
        size_t                            rank  = 0;
        check(api().CastTypeInfoToTensorInfo(type, &shape));
        check(api().GetTensorElementType(shape, &one.type));
        check(api().GetDimensionsCount(shape, &rank));
        one.shape.resize(rank);
        check(api().GetDimensions(shape, one.shape.data(), rank));
        api().ReleaseTypeInfo(type);
        for (size_t axis = 0; axis < rank; axis++) {  // one conversation, and nothing said
            one.shape[axis] = one.shape[axis] >= 0 ? one.shape[axis] : axis == 0 ? 1 : 0;
        }
        cache.push_back(one);
    }
    if (!ids) {
        throw failure("the model has no input_ids: it is no language model that this engine knows");
    }
}

void model::drop_cache() {
    for (OrtValue * value : past) {
        api().ReleaseValue(value);
    }
    past.clear();
}

void model::reset() {
    drop_cache();
    for (const port & one : cache) {
        OrtValue * value = nullptr;
        check(api().CreateTensorAsOrtValue(memory, one.shape.data(), one.shape.size(), one.type, &value));
        past.push_back(value);
    }
    said.clear();
    used = 0;
}

OrtValue * model::numbers(const std::vector<int64_t> & values) {
    const int64_t shape[] = { 1, (int64_t) values.size() };
    OrtValue *    value   = nullptr;
    void *        data    = nullptr;
    check(api().CreateTensorAsOrtValue(memory, shape, 2, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, &value));
    check(api().GetTensorMutableData(value, &data));
    memcpy(data, values.data(), values.size() * sizeof(int64_t));
    return value;
}

void model::feed(const std::vector<int64_t> & tokens) {
    if (past.size() != cache.size()) {
        reset();
    }
    if (tokens.empty() || tokens.size() > room()) {
        throw failure("the text has more tokens than the context of " + std::to_string(size) + "; make it larger with -c");
    }
    const bool                 again = cache.empty();  // no cache: all that was said is said again
    const std::vector<int64_t> whole = [&] {
        said.insert(said.end(), again ? tokens.begin() : tokens.end(), tokens.end());
        return again ? said : tokens;
    }();
    std::vector<int64_t> positions(whole.size()), mask(used + tokens.size(), 1);
    for (size_t i = 0; i < whole.size(); i++) {
        positions[i] = (int64_t) (again ? i : used + i);
    }

    std::vector<const char *>     in = { "input_ids" }, out = { "logits" };
    std::vector<OrtValue *>       own = { numbers(whole) };
    if (has_mask) {
        in.push_back("attention_mask");
        own.push_back(numbers(mask));
    }
    if (has_positions) {
        in.push_back("position_ids");
        own.push_back(numbers(positions));
    }
    std::vector<const OrtValue *> given(own.begin(), own.end());
    for (size_t i = 0; i < cache.size(); i++) {
        in.push_back(cache[i].name.c_str());
        out.push_back(cache[i].output.c_str());
        given.push_back(past[i]);
    }
    std::vector<OrtValue *> results(out.size(), nullptr);
    OrtStatus * const       status = api().Run(session, nullptr, in.data(), given.data(), given.size(), out.data(), out.size(), results.data());
    for (OrtValue * value : own) {
        api().ReleaseValue(value);
    }
    check(status);
    drop_cache();
    past.assign(results.begin() + 1, results.end());
    used += (uint32_t) tokens.size();
    take_logits(results[0], tokens.size());
}

// The last `count` rows of what came out, as float32.
void model::take_logits(OrtValue * value, size_t count) {
    OrtTensorTypeAndShapeInfo * shape = nullptr;
    ONNXTensorElementDataType   type;
    size_t                      rank = 0, all = 0;
    void *                      data = nullptr;
    check(api().GetTensorTypeAndShape(value, &shape));
    check(api().GetTensorElementType(shape, &type));
    check(api().GetDimensionsCount(shape, &rank));
    std::vector<int64_t> dimensions(rank);
    check(api().GetDimensions(shape, dimensions.data(), rank));
    check(api().GetTensorShapeElementCount(shape, &all));
    api().ReleaseTensorTypeAndShapeInfo(shape);
    check(api().GetTensorMutableData(value, &data));
    const size_t columns = rank == 3 && dimensions[2] > 0 ? (size_t) dimensions[2] : 0;
    const bool   half    = type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
    if (columns == 0 || (width != 0 && columns != width) || all < count * columns || (!half && type != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT)) {
        api().ReleaseValue(value);
        throw failure("the model's logits are not rows of float32 or float16, one for each token");
    }
    width             = columns;
    const size_t from = all - count * columns;
    rows.resize(count * columns);
    for (size_t i = 0; i < rows.size(); i++) {
        rows[i] = half ? widened(((const uint16_t *) data)[from + i]) : ((const float *) data)[from + i];
    }
    api().ReleaseValue(value);
}

void model::each_row(const std::function<void(size_t, const float *)> & look) const {
    for (size_t i = 0; i * width < rows.size(); i++) {
        look(i, rows.data() + i * width);
    }
}

int64_t model::likeliest() const { return std::max_element(logits(), logits() + width) - logits(); }

}
