// The graphics processor on Windows, where the native build is the gpu build too. Drivers crash, and there a crash ends the
// process: so what uses them is this program once more, in a process of its own, and this one stays to use the CPU.
#include "gpu.h"

#if defined(_WIN32)

#include "crash.h"
#include "plan.h"
#include "platform.h"
#include "told.h"

#ifndef NOMINMAX
#  define NOMINMAX
#endif
#include <windows.h>

#include <cstdio>
#include <cstdlib>

namespace lff {
namespace {

constexpr DWORD        PATIENCE = 20000;            // milliseconds that a trial may take: drivers start slowly after a system did
constexpr DWORD        ENDED    = 0xC000013A;       // by Ctrl+C; what else is this large is a crash
constexpr DWORD        CRASHES  = 0xC0000000;
constexpr const char * CHILD    = "LFF_GPU_CHILD";  // in the environment of the process that uses the device: the shared page

// A handle that is closed with its scope.
struct held {
    HANDLE handle = nullptr;

    explicit held(HANDLE handle) : handle(handle) {}
    ~held() {
        if (handle != nullptr && handle != INVALID_HANDLE_VALUE) {
            CloseHandle(handle);
        }
    }
    held(const held &) = delete;
    held & operator=(const held &) = delete;
};

// A process that ends with this one. It has the container that this one has open, and its standard streams but those
// that are given.
class child {
public:
    child(std::wstring words, HANDLE out, HANDLE errors) {
        JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {};
        limits.BasicLimitInformation.LimitFlags     = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
        SetInformationJobObject(job.handle, JobObjectExtendedLimitInformation, &limits, sizeof limits);
        wchar_t     program[32768] = L"";
        const DWORD length         = GetModuleFileNameW(nullptr, program, 32768);
        STARTUPINFOW how           = {};
        how.cb                     = sizeof how;
        how.dwFlags                = STARTF_USESTDHANDLES;
        how.hStdInput              = GetStdHandle(STD_INPUT_HANDLE);
        how.hStdOutput             = out;
        how.hStdError              = errors;
        if (container().file != nullptr) {
            put("LFF_CONTAINER_FD", container().file->identity_text());
            container().file->keep_on_exec(true);
        }
        put(CHILD, hand_over_told());
        fflush(nullptr);
        if (length > 0 && length < 32768 && CreateProcessW(program, &words[0], nullptr, nullptr, TRUE, CREATE_SUSPENDED, nullptr, nullptr, &how, &started)) {
            AssignProcessToJobObject(job.handle, started.hProcess);
            ResumeThread(started.hThread);
        }
        if (container().file != nullptr) {
            container().file->keep_on_exec(false);
            forget("LFF_CONTAINER_FD");
        }
        forget(CHILD);
    }

    ~child() {
        if (started.hProcess != nullptr) {
            CloseHandle(started.hThread);
            CloseHandle(started.hProcess);
        }
    }
    child(const child &) = delete;
    child & operator=(const child &) = delete;

    bool is_there() const { return started.hProcess != nullptr; }

    // False after so many milliseconds; then it is ended.
    bool wait(DWORD patience, DWORD & code) const {
        const bool ended = WaitForSingleObject(started.hProcess, patience) == WAIT_OBJECT_0;
        if (!ended) {
            TerminateProcess(started.hProcess, 1);
            WaitForSingleObject(started.hProcess, INFINITE);
        }
        return GetExitCodeProcess(started.hProcess, &code) != 0 && ended;
    }

private:
    const held          job{ CreateJobObjectW(nullptr, nullptr) };
    PROCESS_INFORMATION started = {};
};

bool is_crash_code(DWORD code) { return code >= CRASHES && code != ENDED; }

// Why no device is used; empty if one computes what it should.
std::string trial() {
    SECURITY_ATTRIBUTES inherited = { sizeof inherited, nullptr, TRUE };
    HANDLE              ends[2]   = {};
    if (!CreatePipe(&ends[0], &ends[1], &inherited, 0)) {
        return "the GPU cannot be tried";
    }
    const held from(ends[0]);
    const held nothing(CreateFileW(L"NUL", GENERIC_WRITE, FILE_SHARE_WRITE, &inherited, OPEN_EXISTING, 0, nullptr));
    SetHandleInformation(from.handle, HANDLE_FLAG_INHERIT, 0);
    fprintf(stderr, "llamafile: trying the GPU\n");
    const child tried(L"llamafile " + widen(PROBE), ends[1], nothing.handle);
    CloseHandle(ends[1]);
    DWORD code = 0;
    if (!tried.is_there()) {
        return "the GPU cannot be tried";
    }
    if (!tried.wait(PATIENCE, code)) {
        return "the driver of the GPU did not answer when it was tried";
    }
    char  said[512] = "";
    DWORD got       = 0;
    if (!ReadFile(from.handle, said, sizeof said - 1, &got, nullptr)) {
        got = 0;
    }
    const std::string word(said, got);
    return is_crash_code(code)              ? "the driver of the GPU crashed when it was tried"
         : word.compare(0, 5, "works") == 0 ? ""
         : word.compare(0, 5, "wrong") == 0 ? "the GPU computes something else than it should"
                                            : "no such device was found";
}

// Ctrl+C is for the process that works; this one ends when it does.
BOOL WINAPI leave_to_child(DWORD event) { return event == CTRL_C_EVENT || event == CTRL_BREAK_EVENT; }

// Ends with the process that uses the device, unless it was the device that failed.
void end_with_child() {
    const child working(GetCommandLineW(), GetStdHandle(STD_OUTPUT_HANDLE), GetStdHandle(STD_ERROR_HANDLE));
    if (!working.is_there()) {
        fprintf(stderr, "llamafile: no second process can be started for the GPU; the CPU is used\n");
        return;
    }
    SetConsoleCtrlHandler(leave_to_child, TRUE);
    DWORD code = 1;
    working.wait(INFINITE, code);
    SetConsoleCtrlHandler(leave_to_child, FALSE);
    if (!is_crash_code(code) && code != (DWORD) GPU_FAILED) {
        exit((int) code);
    }
    const bool begun = told_begun();
    if (is_crash_code(code)) {
        report_failure(std::string("the GPU failed (the engine crashed)") + (begun ? "; LFF_GPU=off uses the CPU" : "; the CPU is used"));
    }
    if (begun) {
        exit(1);
    }
}

}

void hand_over_to_gpu(gpu_wish & wish, const std::vector<std::string> & user) {
    const std::string handed = environment(CHILD);
    if (!handed.empty()) {
        forget(CHILD);
        take_told(handed);
        return;
    }
    if (has_gpu() && container().file != nullptr && given(user, { "--list-devices" })) {
        make_told();
        end_with_child();
        exit(1);
    }
    if (!has_gpu() || wish.off || container().file == nullptr || stays_on_cpu(user)) {
        if (wish.named() && !has_gpu()) {
            fprintf(stderr, "llamafile: LFF_GPU=%d: this build uses no GPU; the CPU is used\n", wish.device);
        }
        wish.off = true;
        return;
    }
    SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);  // inherited: a driver that crashes asks nobody
    make_told();
    const std::string why = trial();
    if (why.empty()) {
        end_with_child();
    } else {
        fprintf(stderr, "llamafile: %s; the CPU is used\n", why.c_str());
    }
    wish.off = true;
}

}

#endif
