"""Law: doing it twice is doing it once: repack(repack(f, x), x) = repack(f, x), byte for byte, on disk or in place."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import llamafile_format as lf
from tests.repack_samples import engine, gguf, legacy, sound, write

pytestmark = pytest.mark.usefixtures("tiny_runtimes")

OLD = engine("old", 70_000, [("help.txt", b"help " * 99)], "0.8.0")
MEMBERS = [("model.gguf", gguf("m")), (".args", b"-m\nmodel.gguf\n-r\nit's # $mine\n...\n"), ("LICENSE", b"CC0")]


@st.composite
def orders(draw: st.DrawFn) -> dict[str, Any]:
    """What a user may ask for; paths are relative to the folder of the test."""
    text = st.sampled_from(["", "A name", "Ein Name – größer"])
    pool: dict[str, st.SearchStrategy[Any]] = {
        "prefix": st.sampled_from(["none", "old", "new", "launcher"]),
        "runtime": st.sampled_from(["none", "llama.cpp", "llama.cpp:linux-x86_64"]),
        "flavour": st.sampled_from(["reference", "both"]),
        "args": st.sampled_from(["", "-m model.gguf --temp 0", "-m /zip/model.gguf --temp 0", "-r 'a b'"]),
        "remove": st.sampled_from([["LICENSE"], []]),
        "rename": st.sampled_from([{"model.gguf": "other.gguf"}, {}]),
        "include": st.sampled_from([[lf.Include(Path("card.md"))], [lf.Include(Path("card.md"), "docs/c.md")]]),
        "profile": st.sampled_from(["default", "archive"]),
        "align": st.sampled_from([32, 4096, 65536]),
        "name": text,
        "license": text,
        "source": text,
        "created": st.sampled_from(["", "2026-11-20T00:00:00Z"]),
    }
    keys = draw(st.sets(st.sampled_from(sorted(pool)), min_size=0, max_size=4))
    return {key: draw(pool[key]) for key in sorted(keys)}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(orders(), st.sampled_from(["container", "legacy"]), st.booleans())
def test_twice_is_once(order: dict[str, Any], start: str, in_place: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        order = _in(folder, order)
        try:
            lf.repack(folder / start, folder / "1", **order)
        except lf.UsageError:  # a flavour of nothing, a launcher of nothing
            return
        except lf.FormatError as error:
            _refused(error, folder / "1")
            return
        if in_place:
            write(folder / "2", (folder / "1").read_bytes())
            result = lf.repack(folder / "2", in_place=True, **order)
        else:
            result = lf.repack(folder / "1", folder / "2", **order)
        assert not result.changed
        assert (folder / "1").read_bytes() == (folder / "2").read_bytes()
        sound(folder / "1").close()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(orders())
def test_same_order_same_bytes_in_place_or_not(order: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        order = _in(folder, order)
        try:
            lf.repack(folder / "container", folder / "1", **order)
        except lf.UsageError:
            return
        except lf.FormatError as error:
            _refused(error, folder / "1")
            return
        lf.repack(folder / "container", in_place=True, **order)
        assert (folder / "1").read_bytes() == (folder / "container").read_bytes()


def _refused(error: lf.FormatError, out: Path) -> None:
    """Arguments that ask for a file of the machine, told by their rule; nothing was written."""
    assert error.clause == "LF6122"
    assert not out.exists()


def _in(folder: Path, order: dict[str, Any]) -> dict[str, Any]:
    """``order`` with its files made in ``folder``, beside a container and a legacy file to start from."""
    write(folder / "old", OLD)
    write(folder / "new", engine("new", 150_000, version="0.10.2"))
    write(folder / "card.md", b"# card")
    for path, data in MEMBERS:
        write(folder / path, data)
    write(folder / "legacy", legacy(OLD, MEMBERS))
    started = order.get("runtime") is None and "flavour" not in order and len(order) % 2
    written = folder / "packed.args"
    write(written, MEMBERS[1][1].replace(b"model.gguf", b"/zip/model.gguf") if started else MEMBERS[1][1])
    lf.pack(
        [folder / "model.gguf", folder / "LICENSE"],
        folder / "container",
        prefix="launcher" if started else folder / "old",
        include=[lf.Include(written, ".args")],
    )
    order = dict(order)
    if order.get("prefix", "none") not in ("none", "launcher"):
        order["prefix"] = folder / order["prefix"]
    if "include" in order:
        order["include"] = [lf.Include(folder / item.path, item.member) for item in order["include"]]
    return order
