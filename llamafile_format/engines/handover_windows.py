"""A file for a program that inherits it, on Windows: nobody writes to it or takes its name away meanwhile (14.6.7).

Written from the documentation of Windows and never run on it.
"""

from __future__ import annotations

import ctypes
import os
from importlib import import_module
from pathlib import Path
from typing import Any

from llamafile_format.errors import SourceError
from llamafile_format.source import Identity

_GENERIC_READ, _SHARE_READ, _OPEN_EXISTING, _NORMAL = 0x8000_0000, 1, 3, 0x80
_BASIC_INFO = 0  # FileBasicInfo
_EPOCH = 116_444_736_000_000_000  # 1970 in units of 100 ns since 1601


class _ByHandle(ctypes.Structure):
    """BY_HANDLE_FILE_INFORMATION."""

    _fields_ = (
        ("attributes", ctypes.c_uint32),
        ("times", ctypes.c_uint32 * 6),
        ("volume", ctypes.c_uint32),
        ("size_high", ctypes.c_uint32),
        ("size_low", ctypes.c_uint32),
        ("links", ctypes.c_uint32),
        ("index_high", ctypes.c_uint32),
        ("index_low", ctypes.c_uint32),
    )


class _Basic(ctypes.Structure):
    """FILE_BASIC_INFO."""

    _fields_ = (
        ("created", ctypes.c_int64),
        ("accessed", ctypes.c_int64),
        ("written", ctypes.c_int64),
        ("changed", ctypes.c_int64),
        ("attributes", ctypes.c_uint32),
    )


def exclusive(path: Path, verified: Identity) -> tuple[int, Identity]:
    """An inheritable handle of the file at ``path`` that lets nobody write to it, and what a program asks of it.

    ``verified`` is what the file was before its first byte was read; SourceError if it is another one, has changed, or
    is open for writing somewhere.
    """
    msvcrt: Any = import_module("msvcrt")
    system: Any = os
    kernel: Any = getattr(ctypes, "WinDLL")("kernel32")  # noqa: B009  only Windows has it
    kernel.CreateFileW.restype = ctypes.c_void_p
    opened = kernel.CreateFileW(os.fspath(path), _GENERIC_READ, _SHARE_READ, None, _OPEN_EXISTING, _NORMAL, None)
    if opened in (None, ctypes.c_void_p(-1).value):
        raise SourceError(f"{path} cannot be opened for its runtime alone: is it open for writing somewhere?")
    descriptor = msvcrt.open_osfhandle(opened, os.O_RDONLY | system.O_BINARY)  # owns the handle from here on
    if Identity.of(os.fstat(descriptor)) != verified:
        os.close(descriptor)
        raise SourceError(f"{path} is not, or no longer, the file that was verified: it was not started")
    handle = msvcrt.get_osfhandle(descriptor)
    system.set_handle_inheritable(handle, True)
    file, basic = _ByHandle(), _Basic()
    known = kernel.GetFileInformationByHandle(ctypes.c_void_p(handle), ctypes.byref(file))
    size = ctypes.sizeof(basic)
    timed = kernel.GetFileInformationByHandleEx(ctypes.c_void_p(handle), _BASIC_INFO, ctypes.byref(basic), size)
    if not (known and timed):
        raise SourceError(f"{path}: the system does not tell which file it is")
    return int(handle), Identity(
        device=file.volume,
        inode=file.index_high << 32 | file.index_low,
        size=file.size_high << 32 | file.size_low,
        mtime=(basic.written - _EPOCH) * 100,
        ctime=(basic.changed - _EPOCH) * 100,
    )
