// A language model in ONNX, in place in the container, and one conversation with it.
#pragma once

#include "archive.h"
#include "engine.h"
#include "tokens.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace lff {

struct settings {
    std::string model;        // /zip/NAME
    int         threads = 0;  // 0: as many as there are processors, at most 8
    uint32_t    context = 0;  // tokens; 0: 2048
};

class model {
public:
    explicit model(const settings & wanted);
    ~model();
    model(const model &) = delete;
    model & operator=(const model &) = delete;

    const tokenizer & words() const { return *talk; }
    int      vocabulary() const { return (int) width; }
    uint32_t context() const { return size; }
    uint32_t room() const { return size - used; }
    int      threads() const { return crew; }

    void reset();
    // Computes on; the logits of the last token are then `logits`. Throws failure, also where there is no room.
    void feed(const std::vector<int64_t> & tokens);
    const float * logits() const { return rows.data() + rows.size() - width; }
    // The logits of every token of the last feed, in order.
    void each_row(const std::function<void(size_t, const float *)> & look) const;
    int64_t likeliest() const;

private:
    struct port {
        std::string               name, output;
        ONNXTensorElementDataType type;
        std::vector<int64_t>      shape;
    };

    void read_ports();
    void take_logits(OrtValue * value, size_t count);
    OrtValue * numbers(const std::vector<int64_t> & values);
    void drop_cache();

    OrtSession *               session = nullptr;
    OrtAllocator *             memory  = nullptr;
    OrtMemoryInfo *            place   = nullptr;
    std::unique_ptr<tokenizer> talk;
    bool                       has_mask = false, has_positions = false;
    std::vector<port>          cache;
    std::vector<OrtValue *>    past;
    std::vector<int64_t>       said;  // where there is no cache, all of it is computed anew
    std::vector<float>         rows;
    size_t                     width = 0;
    uint32_t                   size = 0, used = 0;
    int                        crew = 1;
};

}
