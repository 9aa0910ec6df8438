"""Schemes of fsspec's: at the command line, behind the same checks (spec/1, 10.12.11)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec  # type: ignore[import-untyped]
import pytest
from click.testing import CliRunner
from fsspec.implementations.memory import MemoryFileSystem

import llamafile_format as lf
from llamafile_format.cli.main import cli
from llamafile_format.cli.reaching import Reach
from llamafile_format.errors import SourceError, UsageError
from llamafile_format.source.foreign_object import foreign_address, is_foreign
from llamafile_format.source.opening import open_foreign
from tests.remote_samples import remote_container


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return remote_container(tmp_path_factory.mktemp("foreign") / "model.llamafile")


@pytest.fixture(autouse=True)
def stored(sample: Path) -> Iterator[None]:
    files = fsspec.filesystem("memory")
    files.pipe_file("/box/model.llamafile", sample.read_bytes())
    files.pipe_file("/box/empty", b"")
    yield
    files.rm("/box", recursive=True)


class Odd(MemoryFileSystem):  # type: ignore[misc]
    """A package that answers wrongly in the way that ``fault`` names."""

    protocol = "odd"
    fault: ClassVar[str] = ""
    asked: ClassVar[int] = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("odd://", "memory://")))

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """What is there."""
        told = dict(super().info(path, **options))
        type(self).asked += 1
        if self.fault == "no size":
            told["size"] = None
        if self.fault == "grows" and self.asked > 3:
            told["size"] += 1
        if self.fault == "changes":
            told |= {"ETag": str(min(self.asked, 4))}
        return told

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> Any:
        """A range, or what is taken for one."""
        if self.fault == "whole":
            return super().cat_file(path, **options)
        if self.fault == "short":
            return super().cat_file(path, start, (end or 0) - 1, **options)
        if self.fault == "fails":
            raise RuntimeError("http://key:s3cret@host/x is not there")
        return super().cat_file(path, start, end, **options)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, list(arguments))
    if isinstance(result.exception, lf.LlamafileError):
        return result.exception.exit_code, str(result.exception)
    return result.exit_code, result.output


def test_commands_read_what_fsspec_reads(sample: Path, tmp_path: Path) -> None:
    name = "memory://box/model.llamafile"
    for level in ("quick", "full", "exhaustive"):
        code, out = run("verify", name, "--level", level)
        assert code == 0, out
        assert "created" in out, "the state that was read is named"
    assert run("inspect", name, "--field", "file.size") == (0, f"{sample.stat().st_size}\n")
    assert run("diff", name, str(sample))[0] == 0
    assert run("explain", name)[0] == 0
    assert run("sbom", name)[0] == 0
    assert run("extract", name, "tiny.gguf", "-C", str(tmp_path))[0] == 0
    assert run("verify", "memory://box/empty")[0] == 3
    code, out = run("verify", "memory://box/none")
    assert (code, "there is no such object" in out) == (4, True)


def test_what_is_found_is_the_same(sample: Path) -> None:
    here = lf.verify(sample)
    with open_foreign("memory://box/model.llamafile") as source:
        there = lf.verify(source)
        assert not source.pinned, "a time is no version to go on from another day"
    assert (there.verdicts, there.findings) == (here.verdicts, here.findings)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("no size", "whose size is known"),
        ("grows", "changed while it was read"),
        ("changes", "changed while it was read"),
        ("whole", "got something else"),
        ("short", "got something else"),
        ("fails", "the package for its scheme fails: RuntimeError"),
    ],
)
def test_packages_that_answer_wrongly(fault: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.register_implementation("odd", Odd, clobber=True)
    monkeypatch.setattr(Odd, "fault", fault)
    monkeypatch.setattr(Odd, "asked", 0)
    code, out = run("verify", "odd://box/model.llamafile")
    said = " ".join(out.split())
    assert code == 4, out
    assert why in said
    assert "yes" not in said
    assert "s3cret" not in said


def test_an_exchange_between_two_reads(sample: Path) -> None:
    with open_foreign("memory://box/model.llamafile") as source:
        fsspec.filesystem("memory").pipe_file("/box/model.llamafile", sample.read_bytes()[::-1])
        with pytest.raises(SourceError, match="changed while it was read"):
            source.read_at(source.size // 2, 100)


@pytest.mark.parametrize(
    "name",
    [
        "ftp://me:s3cret@host/x",
        "ftp://host/x?key=s3cret",
        "simplecache::memory://box/x",
        "zip://x::memory://box/x",
        "file:///etc/passwd",
        "memory://a b",
        "nosuchscheme://x/y",
    ],
)
def test_addresses_that_are_none(name: str) -> None:
    code, out = run("verify", name)
    assert code in (2, 4)
    assert "yes" not in out
    assert "s3cret" not in out
    if is_foreign(name):
        assert code == 2


def test_only_what_was_typed_comes_here() -> None:
    with pytest.raises(UsageError, match="an address is not fetched for a stranger"):
        lf.validate_upload("memory://box/model.llamafile")
    with pytest.raises(UsageError, match="no scheme that is read"):
        lf.open_remote("memory://box/model.llamafile")
    with (
        pytest.raises(UsageError, match="no scheme that is read"),
        Reach((), "", "").opened("memory://box/model.llamafile", whole=True),
    ):
        pass
    assert foreign_address("memory://box/x").name == "memory://box/x"
    code, out = run("verify", "memory://box/model.llamafile", "--ca-file", "x")
    assert (code, "are not for" in out) == (2, True)
