"""Random access to bytes: local file, window, bytes. What remote sources will implement is :class:`ByteSource`."""

from llamafile_format.source.base import ByteSource, Range, Window, find_last, read_struct
from llamafile_format.source.chain import Chain
from llamafile_format.source.local import BytesSource, FileSource, open_source

__all__ = [
    "ByteSource",
    "BytesSource",
    "Chain",
    "FileSource",
    "Range",
    "Window",
    "find_last",
    "open_source",
    "read_struct",
]
