"""Shut this process in, and run Python code of others in it (spec/1, 14.10.5).

``python -I -S -B confine.py SITE PROGRAM SHA256 PLAN WORD...``: PROGRAM is a text of that digest with a function
``main(container, plan, seal, words)``, SITE the one folder that it imports from besides Python's own, PLAN a JSON
object. A program of its own, which imports nothing of this package. It starts nothing behind itself: whoever lets a
process start a program lets whatever runs in it start one, so the sandbox is closed here, in full, and then the text
is run where it was read. Without Landlock and seccomp nothing is run. Linux on x86-64.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import platform
import re
import resource
import struct
import sys
import types
from collections.abc import Iterable, Sequence
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_NO_NEW_PRIVS = 38  # prctl
_SECCOMP, _CREATE, _ADD, _RESTRICT = 317, 444, 445, 446  # numbers of system calls
_TSYNC = 1
_READ_FILE, _READ_BELOW = 1 << 2, (1 << 2) | (1 << 3)
# How many accesses to files each version of Landlock knows; the last for all later ones.
_FILE_ACCESSES = (0, 13, 14, 15, 15, 16)
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
_MACHINE = ("/sys/devices/system", "/sys/fs/cgroup")  # of /proc no process, not even this one
_KNOWLEDGE = ("/etc/ld.so.cache", "/proc/meminfo", "/proc/loadavg", "/proc/cpuinfo", "/proc/stat")
_NODES = ("/dev/urandom", "/dev/random", "/dev/null", "/dev/zero")
_ALLOW, _DENY, _UNKNOWN = 0x7FFF0000, 0x00050001, 0x00050026  # answers: yes, EPERM, ENOSYS
_X86_64 = 0xC000003E
_ARCH, _NUMBER, _ARGUMENTS = 4, 0, 16  # offsets in what a filter sees
_EXEC, _WRITE, _ANONYMOUS = 4, 2, 0x20
_CHANGING = 0o3 | 0o100 | 0o1000 | (0o20200000 & ~0o200000)  # flags of open that could change or make a file
_THREAD, _WORLDS = 0x10000, 0x7E020000  # flags of clone
_NEEDED = ("LFF_CONTAINER", "LFF_CONTAINER_FD")  # all of the environment that is used here

# Calls without danger whatever their arguments: they work on what the process has, or ask about it (x86-64).
_HARMLESS = tuple(
    int(number)
    for number in re.findall(
        "=([0-9]+)",
        """
    read=0 write=1 close=3 stat=4 fstat=5 lstat=6 poll=7 lseek=8 munmap=11 brk=12 rt_sigaction=13
    rt_sigprocmask=14 rt_sigreturn=15 pread64=17 pwrite64=18 readv=19 writev=20 access=21 pipe=22 select=23
    sched_yield=24 mremap=25 msync=26 mincore=27 madvise=28 dup=32 dup2=33 pause=34 nanosleep=35 getpid=39
    exit=60 uname=63 flock=73 fsync=74 fdatasync=75 getdents=78 getcwd=79 readlink=89 umask=95 gettimeofday=96
    getrlimit=97 getrusage=98 sysinfo=99 times=100 getuid=102 getgid=104 geteuid=107 getegid=108 getppid=110
    getgroups=115 rt_sigpending=127 rt_sigtimedwait=128 rt_sigsuspend=130 sigaltstack=131 statfs=137 fstatfs=138
    getpriority=140 sched_getparam=143 sched_getscheduler=145 sched_get_priority_max=146
    sched_get_priority_min=147 mlock=149 munlock=150 mlockall=151 munlockall=152 arch_prctl=158 gettid=186
    readahead=187 time=201 futex=202 sched_setaffinity=203 sched_getaffinity=204 epoll_create=213 getdents64=217
    set_tid_address=218 restart_syscall=219 fadvise64=221 clock_gettime=228 clock_getres=229 clock_nanosleep=230
    exit_group=231 epoll_wait=232 epoll_ctl=233 newfstatat=262 readlinkat=267 faccessat=269 pselect6=270
    ppoll=271 set_robust_list=273 get_robust_list=274 epoll_pwait=281 eventfd2=290 epoll_create1=291 dup3=292
    pipe2=293 preadv=295 pwritev=296 getcpu=309 getrandom=318 membarrier=324 mlock2=325 statx=332 rseq=334
    close_range=436 faccessat2=439
    """,
    )
)
_OPEN, _OPENAT, _MMAP, _MPROTECT, _IOCTL, _FCNTL, _CLONE, _CLONE3 = 2, 257, 9, 10, 16, 72, 56, 435
_PRCTL, _PRLIMIT, _KILL, _TGKILL = 157, 302, 62, 234


class Filter:
    """A program for seccomp: what is told first is answered first, and all else is ``otherwise``."""

    def __init__(self, *, otherwise: int = _DENY) -> None:
        self._steps: list[tuple[int, int, int, int]] = []
        self._otherwise = otherwise
        self._load(_ARCH)
        self._add(0x15, _X86_64, 1, 0)
        self._answer(_DENY)  # calls of another interface, which have other numbers
        self._load(_NUMBER)
        self._add(0x35, 0x40000000, 0, 1)
        self._answer(_DENY)

    def _add(self, code: int, value: int, yes: int = 0, no: int = 0) -> None:
        self._steps.append((code, yes, no, value))

    def _load(self, offset: int) -> None:
        self._add(0x20, offset)

    def _answer(self, value: int) -> None:
        self._add(0x06, value)

    def answer(self, call: int, value: int) -> None:
        """``value`` for every use of ``call``."""
        self._add(0x15, call, 0, 1)
        self._answer(value)

    def allow_if(self, call: int, *tests: tuple[int, int, int]) -> None:
        """If the bits of a mask in each argument are as given: (number of the argument, mask, bits)."""
        steps = 4 * len(tests) + 1
        self._add(0x15, call, 0, steps)
        for number, mask, value in tests:
            self._load(_ARGUMENTS + 8 * number)
            self._add(0x54, mask)
            self._add(0x15, value, 1, 0)
            self._answer(_DENY)
        self._answer(_ALLOW)

    def allow_one_of(self, call: int, number: int, values: Sequence[int]) -> None:
        """If the argument of that number is one of ``values``."""
        self._add(0x15, call, 0, 2 * len(values) + 2)
        self._load(_ARGUMENTS + 8 * number)
        for value in values:
            self._add(0x15, value, 0, 1)
            self._answer(_ALLOW)
        self._answer(_DENY)

    def allow_mapping(self) -> None:
        """Of memory that cannot be executed; and of files, of which nothing that can be executed can be written."""
        self._add(0x15, _MMAP, 0, 10)
        self._load(_ARGUMENTS + 16)
        self._add(0x54, _EXEC | _WRITE)
        self._add(0x15, _EXEC, 2, 0)
        self._add(0x35, _EXEC, 5, 0)  # both
        self._answer(_ALLOW)
        self._load(_ARGUMENTS + 24)
        self._add(0x54, _ANONYMOUS)
        self._add(0x15, 0, 0, 1)
        self._answer(_ALLOW)
        self._answer(_DENY)

    def install(self) -> None:
        """Close it for all threads. OSError if this system cannot."""
        self._answer(self._otherwise)
        data = b"".join(struct.pack("<HBBI", *step) for step in self._steps)
        held = ctypes.create_string_buffer(data)
        program = struct.pack("<HxxxxxxQ", len(self._steps), ctypes.addressof(held))
        _call(_SECCOMP, 1, _TSYNC, program)


def _call(number: int, *given: object) -> int:
    words = [word if isinstance(word, bytes) else ctypes.c_long(word) for word in given]  # type: ignore[arg-type]
    result = int(_LIBC.syscall(ctypes.c_long(number), *words))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def close_files(below: Iterable[str]) -> None:
    """Leave nothing of the file system but reading: what is ``below`` these folders, and what tells of the machine."""
    version = _call(_CREATE, 0, 0, 1)
    handled = (1 << _FILE_ACCESSES[min(version, len(_FILE_ACCESSES) - 1)]) - 1
    wanted = struct.pack("<QQQ", handled, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    rules = _call(_CREATE, wanted, len(wanted), 0)
    folders = [*_SYSTEM, *_MACHINE, *below]
    for path, access in [
        *((each, _READ_BELOW) for each in folders),
        *((each, _READ_FILE) for each in (*_KNOWLEDGE, *_NODES)),
    ]:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        _call(_ADD, rules, 1, struct.pack("<Qi", access, place), 0)
        os.close(place)
    _call(_RESTRICT, rules, 0)
    os.close(rules)


def filter_calls() -> None:
    """Leave the system calls that work on what the process has, and libraries to be opened."""
    itself, calls = os.getpid(), Filter()
    for call in _HARMLESS:
        calls.answer(call, _ALLOW)
    calls.allow_if(_OPENAT, (2, _CHANGING, 0))
    calls.allow_if(_OPEN, (1, _CHANGING, 0))
    calls.allow_one_of(_IOCTL, 1, (0x5413, 0x5401, 0x541B, 0x5421, 0x5451))
    calls.allow_one_of(_FCNTL, 1, (0, 1, 2, 3, 4, 5, 6, 7, 1030))
    calls.allow_if(_CLONE, (0, _THREAD | _WORLDS, _THREAD))
    calls.answer(_CLONE3, _UNKNOWN)  # its flags cannot be looked at; C libraries know the other one too
    calls.allow_if(_MPROTECT, (2, _EXEC, 0))
    calls.allow_one_of(_PRCTL, 0, (15, 16))
    calls.allow_one_of(_PRLIMIT, 0, (0, itself))
    for call in (_KILL, _TGKILL):
        calls.allow_one_of(call, 0, (itself,))
    calls.answer(_SECCOMP, _ALLOW)  # which can only take away
    calls.allow_mapping()
    calls.install()


def seal() -> None:
    """From here on no memory becomes executable: every library that is needed is open."""
    calls = Filter(otherwise=_ALLOW)
    calls.allow_if(_MMAP, (2, _EXEC, 0))
    calls.allow_if(_MPROTECT, (2, _EXEC, 0))
    calls.install()


def close_sandbox(below: Iterable[str]) -> None:
    """All of it, in this order. OSError, with what failed, if this system lacks any part."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise OSError("its filter is known for Linux on x86-64 alone")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if _LIBC.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError("no_new_privs")
    part = "Landlock"
    try:
        close_files(below)
        part = "seccomp"
        filter_calls()
    except OSError as error:
        raise OSError(f"the sandbox cannot be closed: {part}: {error.strerror or error}") from error


def _drop_inherited(kept: int) -> None:
    """What a caller left open is not for code of others."""
    for each in list(Path("/proc/self/fd").iterdir()):
        number = int(each.name)
        if number > 2 and number != kept:
            with contextlib.suppress(OSError):  # that of the listing itself is closed
                os.close(number)


def forget_environment() -> None:
    """Begin again, with what is needed alone, if this process was started with more. OSError if that is not possible.

    What a process is started with stays in its memory, and in ``/proc``, whatever becomes of ``os.environ``: a token in
    a variable would be there for the code of others to read. So it is the block itself that is looked at.
    """
    kept = {name: os.environ[name] for name in _NEEDED if name in os.environ}
    block = b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in kept.items())
    if Path("/proc/self/environ").read_bytes() != block:
        os.execve(sys.executable, [sys.executable, "-I", "-S", "-B", __file__, *sys.argv[1:]], kept)


def _opened() -> int:
    """The container: the descriptor that the command verified it by, and in the state that it was in; or its path."""
    named = os.environ.get("LFF_CONTAINER_FD", "")
    if not named:
        return os.open(os.environ["LFF_CONTAINER"], os.O_RDONLY | os.O_CLOEXEC)
    number, *state = map(int, named.split(":"))
    found = os.fstat(number)
    if state != [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]:
        raise OSError("the file is not, or no longer, the one that was verified")
    return number


def main(site: str, program: str, sha256: str, plan: str, words: list[str]) -> int:
    """Run ``program`` shut in; its exit status, 1 if it is not run."""
    try:
        forget_environment()
        container = _opened()
        with open(program, "rb") as file:
            text = file.read()
        if hashlib.sha256(text).hexdigest() != sha256:
            raise OSError(f"{program} is not the program that was checked")
        _drop_inherited(container)
        os.environ.clear()
        close_sandbox((site, str(Path(os.__file__).parent), f"{sys.base_prefix}/lib"))
    except OSError as error:
        reason = f"Python code of others is not started: {error}"
        if "--trace" in words:
            sys.stdout.write(json.dumps({"event": "error", "message": reason}) + "\n")
        sys.stderr.write(f"llamafile: {reason}\n")
        return 1
    sys.path.append(site)
    runner = types.ModuleType("runner")
    sys.modules["runner"] = runner
    exec(compile(text, "runner.py", "exec"), runner.__dict__)
    return int(runner.main(container, json.loads(plan), seal, words))


if __name__ == "__main__":
    SITE, PROGRAM, SHA256, PLAN, *WORDS = sys.argv[1:]
    STATUS = main(SITE, PROGRAM, SHA256, PLAN, WORDS)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(STATUS)  # threads of the libraries are not waited for: some abort when they are taken down
