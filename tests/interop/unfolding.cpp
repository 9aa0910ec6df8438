// Reads grammars from standard input, each ended by a NUL, and says of each what the runtime's count says.
#include "unfolding.h"

#include "meter.h"

#include <cstdio>

int main() {
    std::string text;
    for (int c; (c = getchar()) != EOF;) {
        if (c != 0) {
            text += (char) c;
            continue;
        }
        try {
            lff::check_unfolding(text);
            puts("");
        } catch (const lff::refused & why) {
            puts(why.what());
        }
        text.clear();
    }
}
