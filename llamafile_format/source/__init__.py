"""Random access to bytes: local files, bytes in memory, objects on other machines, and views over them."""

from llamafile_format.source.base import ByteSource, Range, Window, find_last, read_struct
from llamafile_format.source.chain import Chain
from llamafile_format.source.local import BytesSource, FileSource, Identity, open_source
from llamafile_format.source.resting import RestingFile, put_down
from llamafile_format.source.small import read_small

__all__ = [
    "ByteSource",
    "BytesSource",
    "Chain",
    "FileSource",
    "Identity",
    "Range",
    "RestingFile",
    "Window",
    "find_last",
    "open_source",
    "put_down",
    "read_small",
    "read_struct",
]
