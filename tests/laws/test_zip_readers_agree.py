"""Law: where ours and Python's reader both accept an archive, they agree on every member and every byte."""

from __future__ import annotations

import io
import zipfile

from hypothesis import given, settings
from hypothesis import strategies as st

from llamafile_format.checks.archive import check_archive
from llamafile_format.rules import Severity, rule
from llamafile_format.source import BytesSource
from llamafile_format.zip.names import collisions, is_safe
from llamafile_format.zip.reader import Archive, read_archive
from spec.vectors.generate.forge import End, Part, archive, good
from spec.vectors.generate.legacy_shapes import aligned, plain

NAMES = st.text(st.sampled_from("ab.Z9\u00e9\u6a21-_ /"), min_size=1, max_size=12).filter(is_safe)


def accepted(data: bytes, *, canonical: bool) -> Archive | None:
    """The archive, unless there is an error."""
    source = BytesSource(data)
    found = read_archive(source)
    findings = check_archive(source, found, canonical=canonical, prefix_size=0)
    return None if any(rule(f.rule).severity is Severity.ERROR for f in findings) else found


def compare(data: bytes, found: Archive) -> None:
    """Same names in the same order, same sizes, same bytes."""
    with zipfile.ZipFile(io.BytesIO(data)) as other:
        assert [info.filename for info in other.infolist()] == [entry.path for entry in found.entries]
        for info, entry in zip(other.infolist(), found.entries, strict=True):
            assert (info.file_size, info.compress_size, info.CRC) == (entry.size, entry.compressed_size, entry.crc32)
            assert info.header_offset == entry.header_offset
            if entry.method == 0:
                assert other.read(info) == data[entry.data_offset : entry.data_end]


@settings(max_examples=100)
@given(
    st.dictionaries(NAMES, st.binary(max_size=50), max_size=6), st.sampled_from([1, 32, 4096]), st.binary(max_size=40)
)
def test_archives_that_we_write(members: dict[str, bytes], align: int, prefix: bytes) -> None:
    if collisions(members):
        return
    parts = [Part(name, data, "asset", "application/octet-stream", align) for name, data in members.items()]
    data = good(*parts)
    found = accepted(data, canonical=False)
    assert found is not None
    compare(data, found)
    shaped = archive(
        [aligned(name, data, align=64) for name, data in members.items()], start=prefix, end=End(comment=b"", wide=True)
    )
    found = read_archive(BytesSource(shaped))
    assert found.readable
    compare(shaped, found)


@settings(max_examples=400)
@given(st.lists(st.tuples(st.integers(0, 1 << 12), st.integers(0, 255)), min_size=1, max_size=3))
def test_archives_that_both_accept(edits: list[tuple[int, int]]) -> None:
    """A changed archive that we still accept without error means the same to Python, or Python refuses it."""
    data = bytearray(archive([plain("a.txt", b"hello"), plain("b/c.bin", b"\1\2\3")], end=End(comment=b"")))
    for at, value in edits:
        data[at % len(data)] = value
    found = accepted(bytes(data), canonical=False)
    if found is None:
        return
    try:
        compare(bytes(data), found)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return
