"""Law: on files written by the ``gguf`` package, our reader and the package's see the same keys, values and tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFEndian, GGUFReader, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llamafile_format.source import FileSource
from llamafile_format.specdata import spec_yaml
from llamafile_format.weights.gguf import read_gguf
from llamafile_format.weights.gguf_model import ArrayValue, Gguf, ValueType
from llamafile_format.weights.tensor_types import MAINLINE, TypeStatus, type_table

WRONG_IN_PACKAGE = {"Q8_1"}
"""The package says 40 bytes a block; engines store 36 (two halves and 32 bytes). It never occurs in files."""

LATER_THAN_PACKAGE = {"Q2_0"}


def compare(path: Path) -> Gguf:
    """Read ``path`` with both readers and compare."""
    theirs = GGUFReader(path)
    with FileSource(path) as source:
        ours = read_gguf(source)
        assert ours.complete
        known = {key: field for key, field in theirs.fields.items() if not key.startswith("GGUF.")}
        assert list(ours.entries) == list(known)
        for key, field in known.items():
            value = ours.entries[key].value
            if isinstance(value, ArrayValue):
                elements = [e.decode() if isinstance(e, bytes) else e for e in value]
                assert elements == (field.contents() if field.data else [])
                assert value.element_type is ValueType(int(field.types[-1])) or not field.data
            else:
                text = ours.text(key)
                assert (value if text is None else text) == field.contents()
    assert [t.name for t in ours.tensors] == [t.name for t in theirs.tensors]
    for mine, other in zip(ours.tensors, theirs.tensors, strict=True):
        assert mine.dims == tuple(int(dim) for dim in other.shape)
        assert mine.type_id == int(other.tensor_type)
        assert mine.size_bytes == other.n_bytes
        assert ours.data_offset + mine.offset == other.data_offset
    assert ours.data_offset == theirs.data_offset
    assert ours.alignment == theirs.alignment
    return ours


shapes = st.lists(st.integers(1, 6), min_size=1, max_size=3)


@given(
    texts=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30),
        min_size=1,
        max_size=300,
    ),
    numbers=st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=40),
    tensors=st.lists(st.tuples(shapes, st.sampled_from([np.float32, np.float16, np.int8, np.int32])), max_size=5),
    alignment=st.sampled_from([None, 32, 64, 256]),
    endian=st.sampled_from([GGUFEndian.LITTLE, GGUFEndian.BIG]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_written_by_the_package(tmp_path: Path, texts, numbers, tensors, alignment, endian) -> None:
    path = tmp_path / "model.gguf"
    writer = GGUFWriter(path, "llama", endianess=endian)
    if alignment:
        writer.add_custom_alignment(alignment)
    writer.add_name(texts[0])
    writer.add_array("test.texts", texts)
    writer.add_array("test.numbers", numbers)
    writer.add_bool("test.bool", True)
    writer.add_float32("test.float", 0.5)
    writer.add_uint64("test.large", 2**63)
    writer.add_int8("test.small", -5)
    for index, (shape, kind) in enumerate(tensors):
        writer.add_tensor(f"tensor.{index}", np.ones(shape, dtype=kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    ours = compare(path)
    assert ours.byte_order == ("little" if endian is GGUFEndian.LITTLE else "big")
    assert [f.rule for f in ours.findings] == ([] if endian is GGUFEndian.LITTLE else ["LF5004"])


def test_on_real_files(gguf_data: Path) -> None:
    for name in ("stories260K.gguf", "split-unsplit.gguf", "split-00002-of-00002.gguf"):
        compare(gguf_data / name)


@pytest.fixture
def gguf_data() -> Path:
    folder = Path(__file__).resolve().parents[3] / "shared" / "data" / "gguf"
    if not folder.is_dir():
        pytest.skip("the real GGUFs are not there (../shared/data/gguf)")
    return folder


def test_type_table_agrees_with_the_package() -> None:
    mainline = {
        row.id: row
        for rows in type_table().values()
        for row in rows
        if row.numbering == MAINLINE and row.status is TypeStatus.CURRENT
    }
    for kind in GGMLQuantizationType:
        assert mainline[kind.value].name == kind.name
        if kind.name not in WRONG_IN_PACKAGE:
            assert (mainline[kind.value].elements, mainline[kind.value].block_bytes) == GGML_QUANT_SIZES[kind]
    extra = {row.name for row in mainline.values()} - {kind.name for kind in GGMLQuantizationType}
    assert extra <= LATER_THAN_PACKAGE


def test_file_types_agree_with_the_package() -> None:
    from gguf.constants import LlamaFileType

    table = spec_yaml("registry/gguf-file-types.yaml")["file_types"]
    for kind in LlamaFileType:
        name = kind.name.removeprefix("ALL_").removeprefix("MOSTLY_")
        assert table[kind.value].upper() == name
