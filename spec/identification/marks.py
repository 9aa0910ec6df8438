"""What identifies a llamafile-format 1.0 container from its bytes alone: one mark at the end, one magic at the start.

The table that the skeletons and the signature files are generated from (spec/1, chapters 3 and 4).
"""

from __future__ import annotations

from dataclasses import dataclass

MARK = b"llamafile-format/1"  # the whole comment of the end-of-central-directory record, 18 bytes
EOCD_START = b"PK\x05\x06" + bytes(4)  # signature and two disk numbers, which are 0
EOCD_VARIABLE = 12  # bytes between: record counts, directory size, directory offset
EOCD_END = len(MARK).to_bytes(2, "little") + MARK  # comment length and comment: the last 20 bytes of the file
TAIL = len(EOCD_START) + EOCD_VARIABLE + len(EOCD_END)  # 40 bytes, counted back from the end of the file

MEDIA_TYPE = "application/vnd.llamafile+zip"  # not registered with IANA
PUID = "llamafile-fmt/1"  # a local identifier; PRONOM has not assigned one
NAME = "llamafile container"
VERSION = "1.0"
EXTENSION = "llamafile"


@dataclass(frozen=True, slots=True)
class Variant:
    """One kind of prefix. ``starts``: magics at byte 0, any will do. ``outranks``: keys of less specific kinds.

    ``words`` are short because libmagic cuts a description after 63 characters.
    """

    key: str
    words: str
    starts: tuple[bytes, ...]
    outranks: tuple[str, ...] = ()

    @property
    def puid(self) -> str:
        """The local identifier of container and prefix kind together."""
        return f"{PUID}-{self.key}"


# The most specific first: an APE file also begins with MZ.
VARIANTS = (
    Variant("ape", "APE in front", (b"MZqFpD='", b"jartsr='", b"APEDBG='"), ("mz",)),
    Variant("mz", "MZ executable in front", (b"MZ",)),
    Variant("elf", "ELF executable in front", (b"\x7fELF",)),
    Variant("script", "script in front", (b"#!",)),
    Variant("macho", "Mach-O executable in front", (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe")),
    Variant("none", "nothing in front", (b"PK\x03\x04",)),
)
