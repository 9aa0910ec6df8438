#include "policy.h"

#include "sha256.h"
#include "ui.h"

#include <cstdlib>
#include <memory>

extern "C" char * stbi_zlib_decode_noheader_malloc(const char * data, int size, int * unpacked);  // upstream's stb_image

namespace lff {
namespace {

std::string base64_of(const std::string & hex) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string       out;
    unsigned          held = 0, bits = 0;
    for (size_t i = 0; i + 1 < hex.size(); i += 2) {
        held = held << 8 | (unsigned) std::stoul(hex.substr(i, 2), nullptr, 16);
        for (bits += 8; bits >= 6; bits -= 6) {
            out += letters[held >> (bits - 6) & 63];
        }
    }
    if (bits > 0) {
        out += letters[held << (6 - bits) & 63];
    }
    out.append((4 - out.size() % 4) % 4, '=');
    return out;
}

// The digests of the scripts between <script> and </script>, each in quotes and after a space.
std::string scripts_of(const std::string & page) {
    static const std::string open = "<script>", close = "</script>";
    std::string              digests;
    for (size_t at = page.find(open); at != std::string::npos; at = page.find(open, at)) {
        at += open.size();
        const size_t end = page.find(close, at);
        if (end == std::string::npos) {
            break;
        }
        digests += " 'sha256-" + base64_of(sha256().update(page.data() + at, end - at).hex()) + "'";
    }
    return digests;
}

std::string make() {
    std::string            page;
    const llama_ui_asset * asset = llama_ui_find_asset("index.html");
    if (asset != nullptr) {
        page = unpacked(std::string((const char *) asset->data, asset->size));
    }
    return "default-src 'self'; script-src 'self'" + scripts_of(page) +
           "; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:"
           "; worker-src 'self' blob:; connect-src 'self' data: blob:; frame-src 'self'; object-src 'none'; base-uri 'none'"
           "; form-action 'none'; frame-ancestors 'none'";
}

}

std::string unpacked(const std::string & asset) {
    int                                          size = 0;
    const bool                                   gzip = asset.size() > 18 && asset[3] == 0;
    const std::unique_ptr<char, decltype(&free)> text(gzip ? stbi_zlib_decode_noheader_malloc(asset.data() + 10, (int) asset.size() - 18, &size) : nullptr, free);
    return text == nullptr ? "" : std::string(text.get(), (size_t) size);
}

const std::string & page_policy() {
    static const std::string policy = make();
    return policy;
}

}
