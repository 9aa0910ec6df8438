"""Weights are used where they lie: mapped at their place in the file, only they, and nothing is copied to a disk."""

from __future__ import annotations

import os
import re
import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import pytest

import llamafile_format
from llamafile_format.engines import store
from llamafile_format.packing.assemble import Content, Labels
from llamafile_format.packing.inputs import text_content
from llamafile_format.packing.pack import write_container
from llamafile_format.packing.readme import readme_text
from llamafile_format.packing.runtime_members import choose, launcher_prefix, runtime_contents
from llamafile_format.source import FileSource
from tests.benchmarks.random_model import write as write_noise
from tests.laws.sparse import known_digests
from tests.runtime_server import EXHIBIT, Server, cache_of, environment, native_build, open_links, pack, run, served

pytestmark = [pytest.mark.slow, pytest.mark.interop]

MIB = 1 << 20
GIB = 1 << 30
PAGE = os.sysconf("SC_PAGESIZE")
PROMPT = "Visitor: a brass astrolabe\nLabel:"
COMPLETE = ("--complete", "-p", PROMPT, "-n", "24", "-t", "1")


@pytest.fixture(scope="module")
def exhibit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exhibit, packed."""
    return pack(tmp_path_factory.mktemp("place") / "exhibit.llamafile")


@dataclass(frozen=True)
class Range:
    """A piece of a file that a process has mapped: offset and end in bytes."""

    start: int
    end: int


def _mapped(pid: int, file: Path) -> list[Range]:
    """The pieces of ``file`` in a process's address space, in the file's order."""
    found = []
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] == str(file):
            begin, _, end = fields[0].partition("-")
            start = int(fields[2], 16)
            found.append(Range(start, start + int(end, 16) - int(begin, 16)))
    return sorted(found, key=lambda piece: piece.start)


def _kib(pid: int, field: str) -> int:
    """A field of /proc/PID/status that is in KiB."""
    match = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1])


def _bytes_read(pid: int) -> int:
    """What a process has read with read() and its kin, from files and sockets."""
    return int(Path(f"/proc/{pid}/io").read_text().split()[1])


def _files(pid: int) -> set[str]:
    """Every file with a name that a process has open or mapped."""
    mapped = {
        fields[5]
        for fields in (line.split(maxsplit=5) for line in Path(f"/proc/{pid}/maps").read_text().splitlines())
        if len(fields) == 6
    }
    return {name for name in open_links(pid) | mapped if name.startswith("/") and not name.startswith("/dev/")}


def _members(file: Path) -> dict[str, tuple[int, int]]:
    """Offset and size of each member's data, by path."""
    with llamafile_format.open(file) as opened:
        return {member.path: (member.offset, member.size) for member in opened.members}


def _disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _check_mapping(server: Server, file: Path, names: Sequence[str]) -> None:
    """The file is mapped where these members' tensors lie, and nowhere else."""
    members = _members(file)
    pieces = _mapped(server.engine, file)
    for name in names:
        offset, size = members[name]
        inside = [piece for piece in pieces if offset <= piece.start and piece.end <= offset + size + PAGE]
        assert sum(piece.end - piece.start for piece in inside) > 0.9 * size - PAGE, name
        pieces = [piece for piece in pieces if piece not in inside]
    assert pieces == []


def test_the_file_is_mapped_at_the_weights_and_nowhere_else(exhibit: Path) -> None:
    with served(exhibit) as server:
        _check_mapping(server, exhibit, ["exhibit-f16.gguf"])


def test_nothing_else_is_open_and_nothing_is_written_but_the_program(exhibit: Path, tmp_path: Path) -> None:
    _, build = native_build()
    cache, temporary, home = (tmp_path / name for name in ("cache", "temporary", "home"))
    for folder in (cache, temporary, home):
        folder.mkdir()
    before = {*exhibit.parent.iterdir(), cache_of(exhibit)}
    places = {"LFF_CACHE": str(cache), "TMPDIR": str(temporary), "HOME": str(home), "XDG_CACHE_HOME": str(home)}
    with served(exhibit, env=places) as server:
        assert server.ask("Tell me about the clock.")
        own = {str(exhibit), str(server.log)}
        others = {Path(name) for name in _files(server.engine) - own}
        assert {path.name for path in others if path.parts[1] not in ("proc", "usr", "etc")} == {"runtime"}
        assert set(exhibit.parent.iterdir()) == before | {server.log}
    assert _disk(temporary) == _disk(home) == 0
    assert _disk(cache) < build.size + 65536


def test_memory_does_not_hold_the_weights(tmp_path: Path) -> None:
    """Unless the engine is let rearrange them for its kernels: of Q8_0 it does so on processors with AMX."""
    model = tmp_path / "noise.gguf"
    write_noise(model, layers=8)
    size = model.stat().st_size
    assert size > 56 * MIB
    packed = pack(tmp_path / "noise.llamafile", model, args=("-c", "128", "-np", "1", "..."))
    run(packed, "--version")  # unpacks the program, which would count as read
    with served(packed, "--no-repack") as server:
        offset, _ = _members(packed)["noise.gguf"]
        pieces = _mapped(server.engine, packed)
        assert all(offset <= piece.start and piece.end <= offset + size + PAGE for piece in pieces)
        assert _kib(server.engine, "RssAnon") * 1024 < size / 2
        assert _bytes_read(server.engine) < size / 4


# Beside something huge


def _beside(out: Path, size: int) -> Path:
    """The exhibit with a document of ``size`` zero bytes that take no room, packed without reading them."""
    hole = out.with_suffix(".hole")
    with hole.open("wb") as file:
        file.truncate(size)
    pin, build = native_build()
    contents = [
        text_content("META-LLAMAFILE/README.txt", "readme", readme_text("", engine=True)),
        Content("archive.bin", "document", "application/octet-stream", FileSource(hole), 1, known_digests(hole)),
        Content(EXHIBIT.name, "weights", "application/x-gguf", FileSource(EXHIBIT), 65536),
        *runtime_contents(choose(f"{pin.key}:{build.target}", "native"), 65536),
    ]
    prefix = launcher_prefix(contents, EXHIBIT.name)
    write_container(out, prefix, contents, Labels(name="exhibit", default=EXHIBIT.name))
    hole.unlink()
    return out


def test_a_huge_neighbour_costs_nothing(exhibit: Path, tmp_path: Path) -> None:
    huge = _beside(tmp_path / "huge.llamafile", 8 * GIB)
    offset, _ = _members(huge)[EXHIBIT.name]
    assert offset > 8 * GIB
    figures: dict[Path, tuple[int, int, int]] = {}
    answers = []
    for file in (exhibit, huge):
        run(file, "--version")  # unpacks the program, which would count as read
        with served(file, "-c", "512", "-t", "1", "--temp", "0") as server:
            answers.append(server.ask("Tell me about the clock."))
            figures[file] = (
                _kib(server.engine, "RssAnon") // 1024,
                _kib(server.engine, "RssFile") // 1024,
                _bytes_read(server.engine) // 1024,
            )
            _check_mapping(server, file, [EXHIBIT.name])
    assert answers[0] == answers[1]
    for small, large in zip(figures[exhibit], figures[huge], strict=True):
        assert large <= small * 1.1 + 4
    assert huge.stat().st_blocks * 512 < 64 * MIB  # what the reading and mapping did not fill


# Where mapping is not possible


def _alone(container: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Start the runtime as the launcher would, on a container that has no launcher."""
    pin, build = native_build()
    return subprocess.run(
        [store.unpacked(pin, build), *arguments],
        capture_output=True,
        text=True,
        env=environment(cache_of(container), {"LFF_CONTAINER": str(container)}),
        timeout=120,
        check=False,
    )


def test_legacy_weights_off_a_page_boundary_are_read_and_it_says_so(exhibit: Path, tmp_path: Path) -> None:
    legacy = tmp_path / "legacy.llamafile"
    with zipfile.ZipFile(legacy, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("note.txt", "x" * 100)
        archive.write(EXHIBIT, "exhibit.gguf")
        archive.writestr(".args", "-m\n/zip/exhibit.gguf\n...\n")
    done = _alone(legacy, *COMPLETE)
    assert done.returncode == 0
    assert "do not begin on a page boundary; reading" in done.stderr
    assert "into memory instead of mapping" in done.stderr
    assert done.stdout == run(exhibit, *COMPLETE).stdout


def test_compressed_legacy_weights_are_refused_with_the_remedy(tmp_path: Path) -> None:
    legacy = tmp_path / "legacy.llamafile"
    with zipfile.ZipFile(legacy, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(EXHIBIT, "exhibit.gguf")
    done = _alone(legacy, *COMPLETE)
    assert done.returncode == 1
    assert "compressed" in done.stderr
    assert "repack" in done.stderr


# More than one file of weights


def _split(model: Path, folder: Path, count: int) -> list[Path]:
    """``model`` in ``count`` shards, as upstream's gguf-split writes them: keys in the first, tensors in turn."""
    source = gguf.GGUFReader(model)
    share = -(-len(source.tensors) // count)
    shards = []
    for number in range(count):
        shards.append(folder / f"{model.stem}-{number + 1:05}-of-{count:05}.gguf")
        writer = gguf.GGUFWriter(shards[-1], "llama")
        if number == 0:
            for name, field in source.fields.items():
                if not name.startswith("GGUF.") and name != "general.architecture":
                    element = field.types[-1] if len(field.types) > 1 else None
                    writer.add_key_value(name, field.contents(), field.types[0], element)
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", count)
        writer.add_int32("split.tensors.count", len(source.tensors))
        for tensor in source.tensors[number * share : (number + 1) * share]:
            writer.add_tensor(tensor.name, np.asarray(tensor.data), raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return shards


def test_a_split_model_is_mapped_shard_by_shard(exhibit: Path, tmp_path: Path) -> None:
    shards = _split(EXHIBIT, tmp_path, 3)
    packed = pack(tmp_path / "split.llamafile", *shards)
    assert run(packed, *COMPLETE).stdout == run(exhibit, *COMPLETE).stdout
    with served(packed, "--no-repack") as server:
        assert server.ask("Tell me about the clock.")
        _check_mapping(server, packed, [shard.name for shard in shards])


# An adapter, and a projector


def _adapter(path: Path) -> Path:
    """A LoRA for the exhibit, random and strong enough to change what it says."""
    rng = np.random.default_rng(3)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 8.0)
    for layer in range(4):
        for suffix, shape in (("lora_a", (4, 288)), ("lora_b", (128, 4))):
            data = rng.normal(0, 0.3, shape).astype(np.float32)
            writer.add_tensor(f"blk.{layer}.ffn_down.weight.{suffix}", data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_an_adapter_is_found_by_its_role_and_changes_the_words(exhibit: Path, tmp_path: Path) -> None:
    adapter = _adapter(tmp_path / "adapter.gguf")
    packed = pack(tmp_path / "adapted.llamafile", EXHIBIT, adapter)
    with llamafile_format.open(packed) as opened:
        assert {member.path: member.role for member in opened.members}["adapter.gguf"] == "adapter"
    plain, adapted = run(exhibit, *COMPLETE).stdout, run(packed, *COMPLETE)
    assert adapted.returncode == 0, adapted.stderr
    assert adapted.stdout != plain
    assert adapted.stdout == run(exhibit, *COMPLETE, "--lora", str(adapter)).stdout
    with served(exhibit) as bare, served(packed) as server:
        assert server.ask("Tell me about the clock.") != bare.ask("Tell me about the clock.")
        assert [entry["path"] for entry in server.request("GET", "/lora-adapters").json()] == ["/zip/adapter.gguf"]
