// The chat page's files. Upstream's build compiles them into every program; ours reads them from the container, where
// they are carried once (spec/1.0, 14.1). Same names as upstream's generated header, which this one stands in for.
#pragma once

#include <string>
#include <vector>

#define LLAMA_UI_HAS_ASSETS 1

struct llama_ui_asset {
    std::string           name;
    const unsigned char * data;  // compressed with gzip
    std::size_t           size;
    std::string           etag;
    std::string           type;
};

const llama_ui_asset *              llama_ui_find_asset(const std::string & name);
bool                                llama_ui_use_gzip();
const std::vector<llama_ui_asset> & llama_ui_get_assets();
