// The launcher for Windows: finds the build for this machine in its own file, keeps a checked copy in the user's cache,
// starts it, waits, and returns its exit code (specification 1.0, 14.2). No C library: it imports KERNEL32 alone.
#define WIN32_LEAN_AND_MEAN
#define UNICODE
#include <windows.h>

#include "index.h"
#include "sha256.h"

enum { CANNOT_RUN = 126, NOT_FOUND = 127, PATH_SIZE = 32768 };

typedef enum { READY, ELSEWHERE, DAMAGED } Outcome;

static wchar_t self_path[PATH_SIZE], container[PATH_SIZE], place[PATH_SIZE], program[PATH_SIZE], part[PATH_SIZE];
static wchar_t command[PATH_SIZE];
static wchar_t host[256];  // the name of this machine
static Index index;

// The compiler calls these for loops and assignments.
void *memset(void *to, int value, size_t size) {
    for (uint8_t *byte = to; size--;) *byte++ = (uint8_t)value;
    return to;
}

void *memcpy(void *to, const void *from, size_t size) {
    uint8_t *target = to;
    for (const uint8_t *source = from; size--;) *target++ = *source++;
    return to;
}

static void append(wchar_t *path, const wchar_t *text) {
    int have = lstrlenW(path), more = lstrlenW(text);
    if (have + more < PATH_SIZE) memcpy(path + have, text, (size_t)(more + 1) * sizeof *text);
    else *path = 0;
}

static void append_ascii(wchar_t *path, const char *text) {
    wchar_t wide[80];
    int i = 0;
    for (; text[i] && i < 79; i++) wide[i] = (unsigned char)text[i];
    wide[i] = 0;
    append(path, wide);
}

static void append_number(wchar_t *path, uint64_t value) {
    char digits[24];
    decimal(value, digits);
    append_ascii(path, digits);
}

static void say(const wchar_t *text) {
    static char utf8[4 * PATH_SIZE];
    DWORD done;
    int size = WideCharToMultiByte(CP_UTF8, 0, text, -1, utf8, sizeof utf8, 0, 0);
    if (size > 1) WriteFile(GetStdHandle(STD_ERROR_HANDLE), utf8, (DWORD)size - 1, &done, 0);
}

// Where in `path` the name without its folder begins.
static wchar_t *find_name(wchar_t *path) {
    wchar_t *name = path;
    for (wchar_t *c = path; *c; c++)
        if (*c == L'\\' || *c == L'/') name = c + 1;
    return name;
}

static const wchar_t *self_name(void) { return find_name(self_path); }

static _Noreturn void leave(UINT code) {
    DWORD processes[2];
    if (GetConsoleProcessList(processes, 2) == 1) {  // started by a double-click: the window would close at once
        char key;
        DWORD done;
        say(L"Press Enter to close this window.");
        ReadFile(GetStdHandle(STD_INPUT_HANDLE), &key, 1, &done, 0);
    }
    ExitProcess(code);
}

static _Noreturn void fail(const wchar_t *text, const wchar_t *name) {
    say(self_name()), say(L": "), say(text), say(name), say(L"\r\n");
    leave(CANNOT_RUN);
}

// The user's setting as ASCII, cut to `size`; empty if it is not set.
static void setting(const wchar_t *name, char *value, DWORD size) {
    wchar_t wide[32];
    DWORD length = GetEnvironmentVariableW(name, wide, 32);
    if (length >= 32) length = 0;
    for (DWORD i = 0; i < length && i + 1 < size; i++) value[i] = wide[i] < 128 ? (char)wide[i] : '?';
    value[length < size ? length : size - 1] = 0;
}

// Copy `size` bytes at `offset` of `from` to `to` (or nowhere) and hash them. 0 if reading or writing failed.
static int copy(HANDLE from, uint64_t offset, uint64_t size, HANDLE to, uint8_t digest[32], int *write_failed) {
    static uint8_t buffer[1 << 18];
    LARGE_INTEGER position = {.QuadPart = (LONGLONG)offset};
    Sha256 sum;
    sha256_start(&sum);
    if (!SetFilePointerEx(from, position, 0, FILE_BEGIN)) return 0;
    while (size) {
        DWORD got, put, want = size < sizeof buffer ? (DWORD)size : sizeof buffer;
        if (!ReadFile(from, buffer, want, &got, 0) || !got) return 0;
        sha256_add(&sum, buffer, got);
        if (to != INVALID_HANDLE_VALUE && (!WriteFile(to, buffer, got, &put, 0) || put != got))
            return *write_failed = 1, 0;
        size -= got;
    }
    sha256_end(&sum, digest);
    return 1;
}

static int has_digest(HANDLE file, uint64_t offset, uint64_t size, const uint8_t *sha256) {
    uint8_t digest[32];
    int write_failed = 0;
    return copy(file, offset, size, INVALID_HANDLE_VALUE, digest, &write_failed) && same_bytes(digest, sha256, 32);
}

static HANDLE open_to_read(const wchar_t *path) {
    DWORD share = FILE_SHARE_READ | FILE_SHARE_DELETE;
    return CreateFileW(path, GENERIC_READ, share, 0, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, 0);
}

static int is_ready(const Build *build, int verify) {
    HANDLE file = open_to_read(program);
    if (file == INVALID_HANDLE_VALUE) return 0;
    LARGE_INTEGER size;
    int ready = GetFileSizeEx(file, &size) && (uint64_t)size.QuadPart == build->size;
    if (ready && verify) ready = has_digest(file, 0, build->size, build->sha256);
    CloseHandle(file);
    return ready;
}

static void make_folders(wchar_t *path) {
    for (wchar_t *c = path; *c; c++) {
        if (*c != L'\\' && *c != L'/') continue;
        wchar_t separator = *c;
        *c = 0;
        CreateDirectoryW(path, 0);
        *c = separator;
    }
}

// Take away what starts on this machine left behind when they were killed: runtime.exe.HOST.PROCESS beside `program`.
static void sweep(void) {
    static WIN32_FIND_DATAW entry;
    static wchar_t pattern[PATH_SIZE];
    pattern[0] = 0;
    append(pattern, program), append(pattern, L"."), append(pattern, host), append(pattern, L".*");
    HANDLE listing = FindFirstFileW(pattern, &entry);
    if (listing == INVALID_HANDLE_VALUE) return;
    do {
        DWORD number = 0;
        wchar_t *digit = entry.cFileName + lstrlenW(L"runtime.exe.") + lstrlenW(host) + 1;
        for (; *digit >= L'0' && *digit <= L'9'; digit++) number = number * 10 + (DWORD)(*digit - L'0');
        HANDLE process = *digit || !number ? 0 : OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, number);
        if (process) CloseHandle(process);
        if (*digit || !number || process || GetLastError() != ERROR_INVALID_PARAMETER) continue;
        pattern[0] = 0;
        append(pattern, program), *find_name(pattern) = 0, append(pattern, entry.cFileName);
        DeleteFileW(pattern);
    } while (FindNextFileW(listing, &entry));
    FindClose(listing);
}

// Have the build ready as `program`, below `place`: by a name of its own until it is whole and checked.
static Outcome try(HANDLE self, const Build *build, int verify) {
    char digest_text[65];
    hex(build->sha256, digest_text);
    program[0] = part[0] = 0;
    if (!*place) return ELSEWHERE;
    append(program, place), append(program, L"\\llamafile-format\\rt\\"), append_ascii(program, digest_text);
    append(program, L"\\runtime.exe");
    append(part, program), append(part, L"."), append(part, host);
    append(part, L"."), append_number(part, GetCurrentProcessId());
    if (!*program || !*part) return ELSEWHERE;
    sweep();
    if (is_ready(build, verify)) return READY;
    make_folders(program);
    DeleteFileW(part);  // of a process that had our number
    HANDLE file = CreateFileW(part, GENERIC_WRITE, 0, 0, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, 0);
    if (file == INVALID_HANDLE_VALUE) return ELSEWHERE;
    uint8_t digest[32];
    int write_failed = 0;
    Outcome outcome = READY;
    if (!copy(self, build->offset, build->size, file, digest, &write_failed))
        outcome = write_failed ? ELSEWHERE : DAMAGED;
    else if (!same_bytes(digest, build->sha256, 32))
        outcome = DAMAGED;
    else if (!FlushFileBuffers(file))
        outcome = ELSEWHERE;
    CloseHandle(file);
    if (outcome == READY && MoveFileExW(part, program, MOVEFILE_REPLACE_EXISTING)) return READY;
    DeleteFileW(part);
    // Somebody else may have been faster, and be running it already.
    if (outcome == READY) outcome = is_ready(build, 1) ? READY : ELSEWHERE;
    return outcome;
}

static void find_place(HANDLE self, const Build *build) {
    char verify[4];
    DWORD room = sizeof host / sizeof *host;
    if (!GetComputerNameExW(ComputerNamePhysicalDnsHostname, host, &room)) host[0] = 0;
    setting(L"LFF_VERIFY", verify, sizeof verify);
    for (int i = 0; i < 4; i++) {
        place[0] = 0;
        DWORD length = 1;
        if (i == 0) length = GetEnvironmentVariableW(L"LFF_CACHE", place, PATH_SIZE);
        if (i == 1) length = GetEnvironmentVariableW(L"LOCALAPPDATA", place, PATH_SIZE);
        if (i == 2) length = GetTempPathW(PATH_SIZE, place);
        if (i == 3) append(place, self_path), place[self_name() - self_path] = 0;
        if (!length || length >= PATH_SIZE) place[0] = 0;
        Outcome outcome = try(self, build, *verify && !same(verify, "0"));
        if (outcome == READY) return;
        if (outcome == DAMAGED) fail(L"the build in this file is damaged (wrong SHA-256)", L"");
    }
    fail(L"found no folder that has room for the program; name one in LFF_CACHE", L"");
}

// The build for this machine: its own processor's, else for x86-64, which Windows on ARM can run too.
static const Build *find_build(void) {
    typedef BOOL(WINAPI * IsWow64Process2Type)(HANDLE, USHORT *, USHORT *);
    FARPROC found = GetProcAddress(GetModuleHandleW(L"kernel32.dll"), "IsWow64Process2");
    USHORT process, machine = IMAGE_FILE_MACHINE_AMD64;
    if (found && !((IsWow64Process2Type)(void (*)(void))found)(GetCurrentProcess(), &process, &machine))
        machine = IMAGE_FILE_MACHINE_AMD64;
    char flavour[16];
    setting(L"LFF_FLAVOUR", flavour, sizeof flavour);
    const char *own = machine == IMAGE_FILE_MACHINE_ARM64 ? "windows-aarch64" : "windows-x86_64";
    const Build *build = index_find(&index, own, flavour);
    if (!build) build = index_find(&index, "windows-x86_64", flavour);
    if (build) return build;
    static wchar_t text[4096];
    append_ascii(text, "no build for "), append_ascii(text, own);
    if (*flavour) append_ascii(text, " ("), append_ascii(text, flavour), append_ascii(text, ")");
    append_ascii(text, " in this file; it has:");
    for (uint32_t i = 0; i < index.count; i++) {
        append_ascii(text, " "), append_ascii(text, index.builds[i].target);
        append_ascii(text, "/"), append_ascii(text, index.builds[i].flavour);
    }
    say(self_name()), say(L": "), say(text), say(L"\r\n");
    leave(NOT_FOUND);
}

// The container: this file, or NAME.llamafile beside NAME.exe, if its manifest is the one that the index names.
static void find_container(void) {
    append(container, self_path);
    if (!(index.flags & INDEX_EXTERNAL)) return;
    int length = lstrlenW(container);
    if (length > 4 && container[length - 4] == L'.') container[length - 4] = 0;
    append(container, L".llamafile");
    HANDLE file = open_to_read(container);
    if (file == INVALID_HANDLE_VALUE) fail(L"the model belongs beside this program, and cannot be opened: ", container);
    if (!has_digest(file, index.manifest_offset, index.manifest_size, index.manifest_sha256))
        fail(L"this program does not belong to ", container);
    CloseHandle(file);
}

static void drop_what_is_not_ours(void) {
    static const char *const foreign[] = {NOT_INHERITED};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        wchar_t name[80];
        name[0] = 0;
        append_ascii(name, foreign[i]);
        SetEnvironmentVariableW(name, 0);
    }
}

static void export_number(const wchar_t *name, uint64_t value) {
    wchar_t text[32] = L"";
    append_number(text, value);
    SetEnvironmentVariableW(name, index.weights_size ? text : 0);
}

// The command line without our own name, as the user's shell wrote it: the C library's rule for the first argument.
static const wchar_t *command_tail(void) {
    const wchar_t *tail = GetCommandLineW();
    int quoted = 0;
    for (; *tail && (quoted || (*tail != L' ' && *tail != L'\t')); tail++)
        if (*tail == L'"') quoted = !quoted;
    return tail;
}

static DWORD run(void) {
    STARTUPINFOW startup;
    PROCESS_INFORMATION process;
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
    limits.BasicLimitInformation.LimitFlags =
        JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK;
    append(command, L"\""), append(command, program), append(command, L"\"");
    append(command, command_tail());
    if (!*command) fail(L"the command line is too long", L"");
    GetStartupInfoW(&startup);
    if (!CreateProcessW(program, command, 0, 0, TRUE, CREATE_SUSPENDED, 0, 0, &startup, &process))
        fail(L"cannot start ", program);
    HANDLE job = CreateJobObjectW(0, 0);  // the runtime ends with us, however we end
    SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
    AssignProcessToJobObject(job, process.hProcess);
    SetConsoleCtrlHandler(0, TRUE);  // Ctrl-C is the runtime's to answer
    ResumeThread(process.hThread);
    WaitForSingleObject(process.hProcess, INFINITE);
    DWORD code = CANNOT_RUN;
    GetExitCodeProcess(process.hProcess, &code);
    return code;
}

void start(void) {
    DWORD got;
    LARGE_INTEGER position = {.QuadPart = INDEX_OFFSET};
    DWORD length = GetModuleFileNameW(0, self_path, PATH_SIZE);
    if (!length || length >= PATH_SIZE) fail(L"cannot find this file", L"");
    HANDLE self = open_to_read(self_path);
    if (self == INVALID_HANDLE_VALUE) fail(L"cannot read ", self_path);
    if (!SetFilePointerEx(self, position, 0, FILE_BEGIN) || !ReadFile(self, &index, sizeof index, &got, 0) ||
        got != sizeof index || !index_is_sound(&index))
        fail(L"the index of the launcher in this file is damaged", L"");
    if (!GetFileSizeEx(self, &position) || (uint64_t)position.QuadPart < index_end(&index))
        fail(L"this file is cut off", L"");
    const Build *build = find_build();
    find_container();
    find_place(self, build);
    CloseHandle(self);
    drop_what_is_not_ours();
    SetEnvironmentVariableW(L"LFF_CONTAINER", container);
    export_number(L"LFF_WEIGHTS_OFFSET", index.weights_offset);
    export_number(L"LFF_WEIGHTS_SIZE", index.weights_size);
    ExitProcess(run());
}
