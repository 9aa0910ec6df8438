"""Law: legacy, 1.0, legacy again: the same weights, names and order, for every reader that there is."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import llamafile_format as lf
from llamafile_format.zip.views import weights_reader_views, zipos_view
from tests.repack_samples import contents, engine, gguf, legacy, noise, sound, write

NAMES = st.from_regex(r"[a-z0-9_][a-z0-9_ .-]{0,12}[a-z0-9_]", fullmatch=True).filter(
    lambda name: name.split(".")[0].rstrip(" ") not in ("con", "prn", "aux", "nul") and name[:3] not in ("com", "lpt")
)


@st.composite
def llamafiles(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, bytes]], list[str]]:
    """Engine (with or without a ZIP of its own, or none), members in any order, and which are deflated."""
    assets = [(f"usr/share/{index}.txt", noise(f"asset{index}", 300)) for index in range(draw(st.integers(0, 3)))]
    size = draw(st.sampled_from([0, 100, 65_536, 70_000]))
    front = engine("engine", size, assets, "0.9.3") if size else b""
    others = draw(st.lists(NAMES, max_size=4, unique_by=str.lower))
    members = [(f"d/{name}", noise(name, draw(st.integers(0, 70_000)))) for name in others]
    members.append(("model.gguf", gguf("m", draw(st.sampled_from([0, 70_000])))))
    if draw(st.booleans()):
        # Without an engine, 1.0 reads them as its own runtimes do, and a bare name would be a file of the machine.
        members.append((".args", b"-m\nmodel.gguf\n...\n" if front else b"-m\n/zip/model.gguf\n...\n"))
    members = draw(st.permutations(members))
    deflated = [name for name, _ in members if name.startswith("d/") and draw(st.booleans())]
    return front, members, deflated


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(llamafiles())
def test_there_and_back(sample: tuple[bytes, list[tuple[str, bytes]], list[str]]) -> None:
    front, members, deflated = sample
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        old = write(folder / "old", legacy(front, members, deflate=deflated))
        before = contents(old)
        lf.repack(old, folder / "new")
        sound(folder / "new").close()
        assert contents(folder / "new") == before
        lf.repack(folder / "new", folder / "back", to="legacy")
        after = contents(folder / "back")
        assert after == before
        assert list(after) == list(before)
        _readers_agree((folder / "back").read_bytes(), members)
        lf.repack(folder / "back", folder / "again")
        lf.repack(folder / "again", folder / "twice", to="legacy")
        assert (folder / "twice").read_bytes() == (folder / "back").read_bytes()


def _readers_agree(data: bytes, members: list[tuple[str, bytes]]) -> None:
    source = lf.BytesSource(data)
    engine_view = zipos_view(source)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name, body in members:
            (weights_view,) = weights_reader_views(source, [name])
            for view in (engine_view, weights_view):
                found = view.opened[name]
                assert data[found.offset : found.offset + found.size] == body
            assert archive.read(name) == body
