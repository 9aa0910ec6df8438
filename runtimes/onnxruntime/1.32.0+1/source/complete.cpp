#include "platform.h"
#include "sampler.h"
#include "work.h"

#include <cstdio>
#include <cstdlib>

namespace lff {
namespace {

constexpr size_t MAX_PROMPT = 16u << 20;  // bytes

std::string read_text(const std::string & path) {
    FILE * file = path == "-" ? stdin : open_file(path, "rb");
    if (file == nullptr) {
        throw failure("cannot open " + path);
    }
    std::string text;
    char        piece[65536];
    for (size_t got; (got = fread(piece, 1, sizeof piece, file)) > 0 && text.size() <= MAX_PROMPT;) {
        text.append(piece, got);
    }
    if (file != stdin) {
        fclose(file);
    }
    return text;
}

double number(const std::vector<std::string> & arguments, const std::vector<std::string> & names, double standard) {
    const std::string text  = option(arguments, names);
    char *            end   = nullptr;
    const double      value = strtod(text.c_str(), &end);
    if (!text.empty() && *end != '\0') {
        throw failure(names[0] + " wants a number, not '" + text + "'");
    }
    return text.empty() ? standard : value;
}

}

int complete(const settings & wanted, const std::vector<std::string> & arguments) {
    const std::string path   = option(arguments, { "-f", "--file" });
    const std::string prompt = path.empty() ? option(arguments, { "-p", "--prompt" }) : read_text(path);
    const double      limit  = number(arguments, { "-n", "--predict", "--n-predict" }, -1);
    sampling          chosen;
    chosen.temperature = number(arguments, { "--temp", "--temperature" }, 0);
    chosen.top_k       = (int) number(arguments, { "--top-k" }, 40);
    chosen.top_p       = number(arguments, { "--top-p" }, 0.95);
    chosen.seed        = (uint32_t) number(arguments, { "-s", "--seed" }, 0);

    model       talk(wanted);
    sampler     choose(chosen);
    std::string text = prompt;
    if (given(arguments, { "--chat" })) {
        const std::string system = option(arguments, { "--system-prompt" });
        text = (system.empty() ? "" : talk.words().message("system", system)) + talk.words().message("user", prompt) + talk.words().answer;
    }
    const std::vector<int64_t> tokens = talk.words().tokenize(text, true);
    if (tokens.empty()) {
        throw failure("there is no prompt: give one with -p TEXT or -f FILE");
    }
    talk.feed(tokens);
    for (long done = 0; (limit < 0 || done < (long) limit); done++) {
        const int64_t next = choose.next(talk);
        if (talk.words().ends(next)) {
            break;
        }
        const std::string & piece = talk.words().piece(next);
        fwrite(piece.data(), 1, piece.size(), stdout);
        fflush(stdout);
        if (talk.room() == 0) {
            break;
        }
        talk.feed({ next });
    }
    fputc('\n', stdout);
    return 0;
}

}
