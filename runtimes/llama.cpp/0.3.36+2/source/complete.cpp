#include "complete.h"

#include "json.h"
#include "plan.h"
#include "platform.h"
#include "told.h"

#include <cstdio>
#include <ctime>
#include <memory>

namespace lff {
namespace {

using sampler_ptr = std::unique_ptr<llama_sampler, decltype(&llama_sampler_free)>;

std::string read_text(const std::string & path) {
    FILE * file = path == "-" ? stdin : open_file(path, "rb");
    if (file == nullptr) {
        throw failure("cannot open " + path);
    }
    std::string text;
    char        piece[65536];
    for (size_t got; (got = fread(piece, 1, sizeof piece, file)) > 0;) {
        text.append(piece, got);
    }
    if (file != stdin) {
        fclose(file);
    }
    return text;
}

double number(const std::vector<std::string> & arguments, const std::vector<std::string> & names, double standard) {
    const std::string text = option(arguments, names);
    if (text.empty()) {
        return standard;
    }
    size_t end = 0;
    double value = 0;
    try {
        value = std::stod(text, &end);
    } catch (const std::exception &) {
        end = 0;
    }
    if (end != text.size()) {
        throw failure(names[0] + " wants a number, not '" + text + "'");
    }
    return value;
}

sampler_ptr make_sampler(const std::vector<std::string> & arguments) {
    sampler_ptr  chain(llama_sampler_chain_init(llama_sampler_chain_default_params()), llama_sampler_free);
    const double temperature = number(arguments, { "--temp", "--temperature" }, 0);
    if (temperature <= 0) {
        llama_sampler_chain_add(chain.get(), llama_sampler_init_greedy());
        return chain;
    }
    llama_sampler_chain_add(chain.get(), llama_sampler_init_top_k((int32_t) number(arguments, { "--top-k" }, 40)));
    llama_sampler_chain_add(chain.get(), llama_sampler_init_top_p((float) number(arguments, { "--top-p" }, 0.95), 1));
    llama_sampler_chain_add(chain.get(), llama_sampler_init_temp((float) temperature));
    llama_sampler_chain_add(chain.get(), llama_sampler_init_dist((uint32_t) number(arguments, { "-s", "--seed" }, 0)));
    return chain;
}

}

int complete(const settings & model, const std::vector<std::string> & arguments) {
    const std::string path   = option(arguments, { "-f", "--file" });
    const std::string prompt = path.empty() ? option(arguments, { "-p", "--prompt" }) : read_text(path);
    const sampler_ptr sampler = make_sampler(arguments);
    const double      limit   = number(arguments, { "-n", "--predict", "--n-predict" }, -1);

    session talk(model);
    std::vector<llama_token> tokens;
    if (given(arguments, { "--chat" })) {
        common_json messages = common_json::array();
        for (const auto & [role, text] : { std::pair("system", option(arguments, { "--system-prompt" })), std::pair("user", prompt) }) {
            if (!text.empty()) {
                common_json message = common_json::object();
                message["role"]     = role;
                message["content"]  = text;
                messages.push_back(message);
            }
        }
        tokens = talk.tokenize(talk.render(messages, (int64_t) std::time(nullptr)), true, true);
    } else {
        tokens = talk.tokenize(prompt, true, false);
    }
    if (tokens.empty()) {
        throw failure("there is no prompt: give one with -p TEXT or -f FILE");
    }
    if (tokens.size() >= talk.size) {
        throw failure("the prompt has " + std::to_string(tokens.size()) + " tokens, more than the context of " +
                      std::to_string(talk.size) + "; make it larger with -c");
    }
    talk.feed(tokens);
    for (long said = 0; (limit < 0 || said < (long) limit) && talk.room() > 0; said++) {
        const llama_token next = llama_sampler_sample(sampler.get(), talk.context, -1);
        if (talk.ends(next)) {
            break;
        }
        const std::string text = talk.piece(next, false);
        tell_begun();
        fwrite(text.data(), 1, text.size(), stdout);
        fflush(stdout);
        talk.feed({ next });
    }
    fputc('\n', stdout);
    return 0;
}

}
