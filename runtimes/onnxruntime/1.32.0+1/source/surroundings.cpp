#include "surroundings.h"

#include "platform.h"

#include <string>
#include <vector>

#if defined(_WIN32)
#  define NOMINMAX
#  include <windows.h>
#else
extern char ** environ;
#endif

namespace lff {

#if defined(_WIN32)

namespace {

UINT before = 0;

BOOL WINAPI on_control(DWORD) {
    console_as_before();
    return FALSE;  // and what would have happened happens
}

}

void forget_library_settings() {
    std::vector<std::string> doomed;
    wchar_t * const          block = GetEnvironmentStringsW();
    for (const wchar_t * entry = block; *entry != 0; entry += wcslen(entry) + 1) {
        const std::wstring text(entry);
        if (_wcsnicmp(entry, L"ORT_", 4) == 0 && text.find(L'=') != std::wstring::npos) {
            doomed.push_back(narrow(text.substr(0, text.find(L'=')).c_str()));
        }
    }
    FreeEnvironmentStringsW(block);
    for (const std::string & name : doomed) {
        forget(name.c_str());
    }
}

void console_as_utf8() {
    before = GetConsoleOutputCP();
    if (before != 0 && SetConsoleOutputCP(CP_UTF8)) {
        SetConsoleCtrlHandler(on_control, TRUE);
    }
}

void console_as_before() {
    if (before != 0) {
        SetConsoleOutputCP(before);
    }
}

#else

void forget_library_settings() {
    std::vector<std::string> doomed;
    for (char ** entry = environ; entry != nullptr && *entry != nullptr; entry++) {
        const std::string text(*entry);
        if (text.compare(0, 4, "ORT_") == 0) {
            doomed.push_back(text.substr(0, text.find('=')));
        }
    }
    for (const std::string & name : doomed) {
        forget(name.c_str());
    }
}

void console_as_utf8() {}
void console_as_before() {}

#endif

}
