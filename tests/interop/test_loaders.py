"""What ``registry/loaders.yaml`` says of llama.cpp, tried on the pinned build: it refuses that and takes the rest."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from llamafile_format.checks.loading import Model, check_loading
from llamafile_format.engines.host import host_target
from llamafile_format.engines.pin import Flavour
from llamafile_format.engines.store import find_pin, unpacked
from llamafile_format.source import BytesSource
from llamafile_format.weights.gguf import read_gguf
from llamafile_format.weights.gguf_model import ArrayValue, TextValue
from spec.vectors.generate.gguf_builder import BIG, BOOL, F32, F64, I32, STRING, U16, U32, U64, V1, V2, Dialect
from tests.gguf_workbench import EXHIBIT, Workbench, exhibit

pytestmark = pytest.mark.interop

IDS, ARCH = "tokenizer.ggml.", "llama."
EPSILON = f"{ARCH}attention.layer_norm_rms_epsilon"
GOOD = exhibit()
PIN = find_pin("llama.cpp")


def encoded(dialect: Dialect) -> bytes:
    """The exhibit in another version or byte order."""
    gguf = read_gguf(BytesSource(EXHIBIT.read_bytes()))
    entries = []
    for key, entry in gguf.entries.items():
        value = entry.value
        if isinstance(value, ArrayValue):
            entries.append(dialect.array(key, int(value.element_type), list(value)))
        else:
            plain = value.read() if isinstance(value, TextValue) else value
            entries.append(dialect.entry(key, int(entry.type), int(plain) if isinstance(plain, bool) else plain))
    rows = [dialect.tensor(row.name, row.dims, row.type_id, row.offset) for row in GOOD.tensors]
    return dialect.build(entries, rows, GOOD.data)


def tokens(**changes: bytes) -> bytes:
    """The exhibit with some tokens, ``t300`` and so on, changed."""
    array = read_gguf(BytesSource(EXHIBIT.read_bytes())).array(f"{IDS}tokens")
    assert array is not None
    values = list(array.strings())
    for name, text in changes.items():
        values[int(name[1:])] = text
    return GOOD.with_array(f"{IDS}tokens", STRING, values).build()


def bert(**ids: int) -> bytes:
    """The exhibit with 64 tokens and the tokenizer of BERT."""
    array = read_gguf(BytesSource(EXHIBIT.read_bytes())).array(f"{IDS}tokens")
    assert array is not None
    few, row = 64, 34 * 128 // 32
    cut = row * (512 - few)
    head = GOOD.tensors[0]
    rows = [type(head)(head.name, (128, few), head.type_id, 0)]
    rows += [type(head)(item.name, item.dims, item.type_id, item.offset - cut) for item in GOOD.tensors[1:]]
    small = Workbench(GOOD.entries, tuple(rows), GOOD.data[: row * few] + GOOD.data[row * 512 :])
    small = small.with_array(f"{IDS}tokens", STRING, list(array.strings())[:few]).without(f"{IDS}bos_token_id")
    small = small.with_array(f"{IDS}scores", F32, [0.0] * few).with_array(f"{IDS}token_type", I32, [1] * few)
    small = small.with_entry(f"{IDS}model", STRING, "bert").with_entry(f"{ARCH}vocab_size", U32, few)
    for name, number in ids.items():
        small = small.with_entry(f"{IDS}{name}_token_id", U32, number)
    return small.build()


SPECIAL = ("bos", "eos", "eot", "eom", "unknown", "seperator", "padding", "mask", "prefix", "suffix", "middle")
SPECIAL += tuple(f"fim_{name}" for name in ("pre", "suf", "mid", "pad", "rep", "sep"))
REFUSED: dict[str, tuple[str, bytes]] = {
    "version 1": ("LF3310", encoded(V1)),
    "big endian": ("LF3311", encoded(BIG)),
    **{f"{name} array": ("LF3313", GOOD.with_array(f"{IDS}{name}_token_id", U32, [2]).build()) for name in SPECIAL},
    "eos signed": ("LF3313", GOOD.with_entry(f"{IDS}eos_token_id", I32, 2).build()),
    "eos wide": ("LF3313", GOOD.with_entry(f"{IDS}eos_token_id", U64, 2).build()),
    "flag": ("LF3313", GOOD.with_entry(f"{IDS}add_bos_token", U32, 1).build()),
    "context wide": ("LF3313", GOOD.with_entry(f"{ARCH}context_length", U64, 512).build()),
    "heads wide": ("LF3313", GOOD.with_entry(f"{ARCH}attention.head_count", U64, 4).build()),
    "split wide": ("LF3313", GOOD.with_entry("split.no", U16, 0).with_entry("split.count", U32, 1).build()),
    "types unsigned": ("LF3313", GOOD.with_array(f"{IDS}token_type", U32, [1] * 512).build()),
    "equal tokens": ("LF3314", tokens(t300=b"same", t301=b"same")),
    "no context": ("LF3315", GOOD.without(f"{ARCH}context_length").build()),
    "no embedding": ("LF3315", GOOD.without(f"{ARCH}embedding_length").build()),
    "no blocks": ("LF3315", GOOD.without(f"{ARCH}block_count").build()),
    "no tokenizer": ("LF3315", GOOD.without(f"{IDS}model").build()),
    "epsilon below 0": ("LF3316", GOOD.with_entry(EPSILON, F32, -1e-5).build()),
    "epsilon no number": ("LF3316", GOOD.with_entry(EPSILON, F32, float("nan")).build()),
    "bert without ids": ("LF3317", bert()),
    "bert without a separator": ("LF3317", bert(bos=1)),
    "alignment 8": ("LF3318", GOOD.with_entry("general.alignment", U32, 8).build(alignment=8)),
}
TAKEN: dict[str, bytes] = {
    "as it is": GOOD.build(),
    "version 2": encoded(V2),
    "image token array": GOOD.with_array(f"{IDS}image_token_id", U32, [2]).build(),
    "separator array": GOOD.with_array(f"{IDS}separator_token_id", U32, [2]).build(),
    "heads for each layer": GOOD.with_array(f"{ARCH}attention.head_count", U32, [4] * 4).build(),
    "empty tokens": tokens(t300=b"", t301=b""),
    "epsilon 0": GOOD.with_entry(EPSILON, F32, 0.0).build(),
    "another epsilon below 0": GOOD.with_entry(f"{ARCH}attention.layer_norm_epsilon", F32, -1.0).build(),
    "eos far out": GOOD.with_entry(f"{IDS}eos_token_id", U32, 99_999).build(),
    "no vocabulary size": GOOD.without(f"{ARCH}vocab_size").build(),
    "escape as number": GOOD.with_entry(f"{IDS}escape_whitespaces", U32, 1).build(),
    "another double": GOOD.with_entry("general.weight", F64, 1.0).with_entry("general.flag", BOOL, 1).build(),
    "bert": bert(bos=1, seperator=3),
}


@pytest.fixture(scope="module")
def program() -> Path:
    """The pinned native build for this machine."""
    build = PIN.build(host_target(), Flavour.NATIVE)
    if build is None:
        pytest.skip("there is no build for this machine")
    return unpacked(PIN, build)


def starts(program: Path, data: bytes, folder: Path) -> bool:
    """Whether the engine loads the model and generates; nothing is attached to it when it ends itself."""
    (folder / "model.gguf").write_bytes(data)
    command = [program, "complete", "-m", folder / "model.gguf", "-p", "ls", "-n", "2"]
    environment = {"HOME": str(folder), "PATH": "", "GGML_NO_BACKTRACE": "1"}
    return subprocess.run(command, capture_output=True, timeout=120, env=environment, check=False).returncode == 0


def told(data: bytes) -> set[str]:
    model = Model(read_gguf(BytesSource(data)), "model.gguf", 0, whole=True)
    return {finding.rule for finding in check_loading(model, [PIN])}


@pytest.mark.parametrize("name", REFUSED)
def test_the_engine_refuses_what_we_refuse(name: str, program: Path, tmp_path: Path) -> None:
    rule, data = REFUSED[name]
    assert told(data) == {rule}
    assert not starts(program, data, tmp_path)


@pytest.mark.parametrize("name", TAKEN)
def test_nothing_is_refused_that_the_engine_takes(name: str, program: Path, tmp_path: Path) -> None:
    assert told(TAKEN[name]) == set()
    assert starts(program, TAKEN[name], tmp_path)
