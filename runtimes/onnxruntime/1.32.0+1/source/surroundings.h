// What this program finds around itself, and how it leaves it.
#pragma once

namespace lff {

// Takes what the library reads of its own out of the environment (14.9.8): a container runs the same for everybody.
void forget_library_settings();

// Has a console show UTF-8, which is what is printed; Windows' consoles have to be told.
void console_as_utf8();
// As it was before: it stays when this program has ended.
void console_as_before();

}
