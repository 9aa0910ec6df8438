// What the chat page may do (Content-Security-Policy, Level 3). A model's answer is somebody else's text: whatever it makes the page
// show, no script in it runs, nothing is loaded from elsewhere, and nothing is sent there.
#pragma once

#include <string>

namespace lff {

// The text of one of the page's files, as our own archive holds it: gzip, a header of ten bytes without fields (RFC 1952). Empty if
// it is not that.
std::string unpacked(const std::string & asset);

// The header's value: the page's own files, and the scripts that stand in it, by digest.
const std::string & page_policy();

}
