"""Models out of the cache of the Hub's library, and out of a hub: what is named by a digest must have it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.errors import FormatError, LlamafileError, SourceError, UsageError
from llamafile_format.exchanging import hub_cache, import_hub_cache, pull_from_hub
from llamafile_format.exchanging.hub_cache import cache_of_hub
from llamafile_format.output import resumable
from llamafile_format.output.orders import Imported, ImportOrder
from tests.conftest import CliRunner
from tests.exchange_samples import damaged, digests, model, plain, signed_by_three
from tests.hub_cache_samples import COMMIT, cached
from tests.object_stores import Hub, hub
from tests.repack_samples import gguf

FILES = {"m.gguf": model(), "README.md": b"# x\n", "deep/er/LICENSE": b"MIT\n", ".gitattributes": b"* lfs\n"}


def took(cache: Path, out: Path, place: str = "org/name", **settings: str) -> Imported:
    return import_hub_cache(ImportOrder(place, out, settings={"runtime": "none", "store": str(cache), **settings}))


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """The folder of the repository, in the cache ``hub``."""
    return cached(tmp_path / "hub", FILES, large=("m.gguf",))


def test_a_model_out_of_the_cache(there: Path, tmp_path: Path) -> None:
    done = took(there.parent, tmp_path / "out")
    expected = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items() if name != ".gitattributes"}
    assert digests(tmp_path / "out") == expected
    assert done.notes == (f"main is {COMMIT}",)
    with lf.open(tmp_path / "out") as found:
        assert found.manifest is not None
        assert found.manifest.source == f"hf://org/name@{COMMIT}"
    took(there.parent, tmp_path / "same", f"org/name@{COMMIT}")
    assert (tmp_path / "same").read_bytes() == (tmp_path / "out").read_bytes()
    assert lf.verify(tmp_path / "out", level="exhaustive").exit_code() == 0


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each as the library has it, the one that it looks at first below."""
    monkeypatch.setenv("HOME", "/home/u")
    monkeypatch.setenv("BIG", "/big")
    settings = {"HOME": "/home/u"}
    for name, value, where in (
        ("", "", "/home/u/.cache/huggingface/hub"),
        ("XDG_CACHE_HOME", "/xdg", "/xdg/huggingface/hub"),
        ("HF_HOME", "~/hf", "/home/u/hf/hub"),
        ("HUGGINGFACE_HUB_CACHE", "/old", "/old"),
        ("HF_HUB_CACHE", "$BIG/hub", "/big/hub"),
        ("store", "/store", "/store"),
    ):
        settings[name] = value
        assert cache_of_hub(settings) == Path(where)


@pytest.mark.parametrize(
    "place", ["", "a/b/c", "../x", "a/..", "org/name@../x", "org/name@", "org/name@a//b", "a b", "org--name"]
)
def test_names_that_are_none(place: str, there: Path, tmp_path: Path) -> None:
    if place == "org/name@":
        took(there.parent, tmp_path / "out", place)  # as if there were no @
        return
    with pytest.raises(UsageError, match="names no model"):
        took(there.parent, tmp_path / "out", place)


def test_what_is_not_there_is_said_with_what_is(there: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not in"):
        took(there.parent, tmp_path / "out", "org/other")
    with pytest.raises(UsageError, match="revision v1") as caught:
        took(there.parent, tmp_path / "out", "org/name@v1")
    assert caught.value.hint == f"there are: main, {COMMIT}"
    with pytest.raises(UsageError, match="is not at") as caught:
        took(tmp_path / "nowhere", tmp_path / "out")
    assert "--store" in caught.value.hint


def _entry(there: Path, name: str = "README.md") -> Path:
    return there / "snapshots" / COMMIT / name


def _relinked(there: Path, target: str | Path) -> None:
    _entry(there).unlink()
    _entry(there).symlink_to(target)


def _blob(there: Path, name: str = "m.gguf") -> Path:
    return there / "blobs" / _entry(there, name).readlink().name


def _chained(there: Path) -> None:
    """As if the blob lay in a store for several repositories."""
    blob = _blob(there)
    blob.rename(there.parent / "shared")
    blob.symlink_to("../../shared")


def _linked_folder(there: Path, name: str) -> None:
    (there / name).rename(there.parent / "elsewhere")
    (there / name).symlink_to(there.parent / "elsewhere")


def _other_bytes(there: Path, name: str) -> None:
    path = _blob(there, name)
    path.write_bytes(path.read_bytes()[:-3] + b"xyz")


def _piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _added(there: Path, name: str) -> None:
    path = _entry(there, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(Path("../" * (2 + name.count("/")), "blobs", _blob(there).name))


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link out of the cache": (lambda at: _relinked(at, "/etc/passwd"), "not to a blob"),
    "a link that climbs": (lambda at: _relinked(at, "../../../../x"), "not to a blob"),
    "a link to another repository": (lambda at: _relinked(at, f"../../../models--a--b/blobs/{'0' * 64}"), "not to a b"),
    "a link to a file beside it": (lambda at: _relinked(at, "m.gguf"), "not to a blob"),
    "a link to no digest": (lambda at: _relinked(at, "../../blobs/x.incomplete"), "not to a blob"),
    "a link to a blob below": (lambda at: _relinked(at, f"../../blobs/x/{'0' * 64}"), "not to a blob"),
    "a blob that is missing": (lambda at: _blob(at).unlink(), "is not there"),
    "a chain of links": (_chained, "is a link"),
    "blobs elsewhere": (lambda at: _linked_folder(at, "blobs"), "is a link"),
    "snapshots elsewhere": (lambda at: _linked_folder(at, "snapshots"), "is a link"),
    "refs elsewhere": (lambda at: _linked_folder(at, "refs"), "is a link"),
    "a revision elsewhere": (lambda at: _linked_folder(at, f"snapshots/{COMMIT}"), "not in|is a link"),
    "a ref that is no commit": (lambda at: (at / "refs" / "main").write_text("../../x"), "names no commit"),
    "a ref without end": (lambda at: (at / "refs" / "main").write_bytes(b"c" * 300), "too large"),
    "a ref that is a pipe": (lambda at: _piped(at / "refs" / "main"), "neither a file nor a folder"),
    "a blob that is a pipe": (lambda at: _piped(_blob(at)), "neither a file nor a folder"),
    "an entry that is a pipe": (lambda at: _piped(_entry(at)), "neither a file nor a folder"),
    "a folder that is a link": (lambda at: (at / "snapshots" / COMMIT / "x").symlink_to("deep"), "not to a blob"),
    "other bytes, large": (lambda at: _other_bytes(at, "m.gguf"), "another SHA-256"),
    "other bytes, small": (lambda at: _other_bytes(at, "README.md"), "another SHA-1"),
    "a reserved folder": (lambda at: _added(at, "META-LLAMAFILE/x"), "reserved folder"),
    "two that fold to one": (lambda at: _added(at, "readme.MD"), "could be one file"),
    "another normal form": (lambda at: _added(at, "e\u0301.txt"), "normal form"),
    "a name of Windows": (lambda at: _added(at, "aux.txt"), "Windows"),
    "a name with a backslash": (lambda at: _added(at, "a\\b"), "backslash"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_cache_is_refused(kind: str, there: Path, tmp_path: Path) -> None:
    change, words = HOSTILE[kind]
    change(there)
    with pytest.raises(LlamafileError, match=words):
        took(there.parent, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["hub"]


def test_too_many_files(there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_cache, "_MOST_FILES", 3)
    with pytest.raises(FormatError, match="holds too much"):
        took(there.parent, tmp_path / "out")


def test_a_blob_that_changes_while_it_is_read(tmp_path: Path) -> None:
    there = cached(tmp_path / "hub", {"m.gguf": gguf(size=9 << 20)}, large=("m.gguf",))

    def write(_done: int, _total: int) -> None:
        os.utime(_blob(there))

    settings = {"runtime": "none", "store": str(tmp_path / "hub")}
    with pytest.raises(SourceError, match="changed while it was read"):
        import_hub_cache(ImportOrder("org/name", tmp_path / "out", settings=settings, progress=write))
    assert [path.name for path in tmp_path.iterdir()] == ["hub"]


def test_copies_where_links_cannot_be_made(there: Path, tmp_path: Path) -> None:
    """As on Windows: then no name says what the digest is, and that is told."""
    data = _entry(there).read_bytes()
    _entry(there).unlink()
    _entry(there).write_bytes(data)
    assert "README.md: no link" in took(there.parent, tmp_path / "out").notes[1]


def test_a_target_that_is_there(there: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"x")
    with pytest.raises(UsageError, match="exists"):
        took(there.parent, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"x"


def test_the_command_finds_the_cache(there: Path, tmp_path: Path, run_cli: CliRunner) -> None:
    shutil.copytree(there.parent, tmp_path / "home" / "hub", symlinks=True)
    env = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_CACHE": None, "HUGGINGFACE_HUB_CACHE": None}
    done = run_cli("import", "hf-cache:org/name@main", "--runtime", "none", "-o", "a", env=env)
    assert done.returncode == 0, done.stderr
    assert f"main is {COMMIT}" in done.stderr
    done = run_cli("import", "hf-cache:org/name", "--runtime", "none", "--store", there.parent, "-o", "b", "--json")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# Out of a hub itself.


@pytest.fixture
def running() -> Iterator[Hub]:
    """A hub with one repository, whose branch stands at a commit."""
    with hub() as state:
        state.commits = {"main": COMMIT}
        state.files = {f"{COMMIT}/{name}": data for name, data in FILES.items()}
        yield state


def pulled(running: Hub, out: Path, *names: str, **settings: str) -> Imported:
    place = " ".join(f"hf://org/name/{name}" for name in names)
    settings = {"runtime": "none", "hub": running.endpoint, **settings}
    return pull_from_hub(ImportOrder(place, out, force=out.exists(), settings=settings))


def test_files_of_a_hub_are_packed_at_one_commit(running: Hub, tmp_path: Path) -> None:
    running.linked = {f"{COMMIT}/m.gguf": hashlib.sha256(model()).hexdigest()}
    pulled(running, tmp_path / "out", "m.gguf", "deep/er/LICENSE")
    assert digests(tmp_path / "out") == {
        name: hashlib.sha256(FILES[name]).hexdigest() for name in ("m.gguf", "deep/er/LICENSE")
    }
    with lf.open(tmp_path / "out") as found:
        assert found.manifest is not None
        assert found.manifest.source == f"hf://org/name@{COMMIT}"
    assert any(f"/resolve/{COMMIT}/deep" in path for _, path, _ in running.asked)  # not by the name of the branch


@pytest.mark.parametrize("said", ["d" * 40, ""], ids=["another", "none"])
def test_a_file_of_another_commit_is_refused(said: str, running: Hub, tmp_path: Path) -> None:
    """The manifest would have named the first one's commit as the source of both."""
    running.commits[f"{COMMIT}/README.md"] = said
    running.files |= dict.fromkeys((f"{said}/README.md", "README.md"), b"# x\n")
    with pytest.raises(SourceError, match="another commit"):
        pulled(running, tmp_path / "out", "m.gguf", "README.md")
    assert list(tmp_path.iterdir()) == []


def test_a_commit_that_was_asked_for_is_what_comes(running: Hub, tmp_path: Path) -> None:
    running.commits[COMMIT] = "d" * 40
    running.files[f"{'d' * 40}/m.gguf"] = model()
    with pytest.raises(SourceError, match=r"another commit than was asked for: d{40}"):
        pull_from_hub(_order(running, tmp_path, f"hf://org/name@{COMMIT}/m.gguf"))
    pull_from_hub(_order(running, tmp_path, f"hf://org/name@{'d' * 40}/m.gguf"))


def _order(running: Hub, folder: Path, place: str) -> ImportOrder:
    return ImportOrder(place, folder / "out", settings={"hub": running.endpoint, "runtime": "none"})


def test_names_of_files_may_have_what_names_of_repositories_may_not(running: Hub, tmp_path: Path) -> None:
    running.files[f"{COMMIT}/a--b..c.txt"] = b"x"
    pulled(running, tmp_path / "out", "m.gguf", "a--b..c.txt")
    assert set(digests(tmp_path / "out")) == {"m.gguf", "a--b..c.txt"}


def test_the_hubs_own_digest_is_compared(running: Hub, tmp_path: Path) -> None:
    running.linked = {f"{COMMIT}/m.gguf": "0" * 64}
    with pytest.raises(FormatError, match="another SHA-256"):
        pulled(running, tmp_path / "out", "m.gguf")
    running.files[f"{COMMIT}/x.llamafile"] = plain(tmp_path / "x").read_bytes()
    running.linked = {f"{COMMIT}/x.llamafile": "0" * 64}
    with pytest.raises(FormatError, match="than the hub says"):
        pulled(running, tmp_path / "out", "x.llamafile", runtime="")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_llamafile_comes_as_it_is_and_damage_does_not(running: Hub, tmp_path: Path) -> None:
    file = signed_by_three(tmp_path / "x")
    running.files[f"{COMMIT}/x.llamafile"] = file.read_bytes()
    pulled(running, tmp_path / "out", "x.llamafile", runtime="")
    assert (tmp_path / "out").read_bytes() == file.read_bytes()
    with pytest.raises(UsageError, match="with all that is in it"):
        pulled(running, tmp_path / "other", "x.llamafile")
    running.files[f"{COMMIT}/x.llamafile"] = damaged(file).read_bytes()
    with pytest.raises(FormatError, match="was not taken"):
        pulled(running, tmp_path / "other", "x.llamafile", runtime="")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "x"]


@pytest.mark.parametrize("taken", [False, True], ids=["a new file", "over a file"])
@pytest.mark.parametrize("kind", ["a model", "a llamafile"])
def test_an_ended_pull_is_gone_on_with(
    kind: str, taken: bool, running: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has come is hashed again, and fetched again if it is wrong; a second run asks for the rest."""
    if taken:
        (tmp_path / "out").write_bytes(b"before")
    monkeypatch.setattr(resumable, "_UNDER_WAY", 4 << 20)
    data, name, settings = gguf(size=28 << 20), "m.gguf", {}
    if kind == "a llamafile":
        (tmp_path / name).write_bytes(data)
        lf.pack([tmp_path / name], tmp_path / "x", runtime="none", prefix="none")
        data, name, settings = (tmp_path / "x").read_bytes(), "x.llamafile", {"runtime": ""}
    running.files[f"{COMMIT}/{name}"] = data
    running.linked = {f"{COMMIT}/{name}": hashlib.sha256(data).hexdigest()}
    running.most = 16 << 20
    names = (name,) if settings else (name, "README.md")
    with pytest.raises(SourceError) as caught:
        pulled(running, tmp_path / "out", *names, **settings)
    assert "goes on with what has come" in caught.value.hint
    assert not taken or (tmp_path / "out").read_bytes() == b"before"
    (left,) = tmp_path.glob(".out.*.partial")
    kept, running.most, running.sent = left.read_bytes(), None, 0
    pulled(running, tmp_path / "out", *names, **settings)
    assert running.sent < len(data) - (6 << 20)
    whole = (tmp_path / "out").read_bytes()
    assert lf.verify(tmp_path / "out", level="exhaustive").exit_code() == 0
    assert list(tmp_path.glob(".out.*.partial")) == []
    if not taken:
        (tmp_path / "out").unlink()
    left.write_bytes(os.urandom(len(kept) + 100))  # others' bytes under that name
    pulled(running, tmp_path / "out", *names, **settings)
    assert (tmp_path / "out").read_bytes() == whole


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("hf://org/name/m.gguf hf://org/other/LICENSE", "several repositories"),
        ("hf://org/name/m.gguf hf://org/name@v1/LICENSE", "several repositories"),
        ("hf://org/name", "no file at a hub"),
        ("hf://org/na--me/m.gguf", "no file at a hub"),
        ("hf://o--rg/name@main/m.gguf", "no file at a hub"),
        ("hf://org/na..me/m.gguf", "no file at a hub"),
        ("hf://org/name/m.gguf README.md", "no file at a hub"),
        ("hf://org/name/a%2f..%2fm.gguf", "no file at a hub"),
        ("hf://org/name/con.txt", "Windows"),
        ("hf://org/name/META-LLAMAFILE/x", "reserved"),
        ("hf://org/name/m.gguf hf://org/name/M.GGUF", "could be one file"),
    ],
)
def test_names_at_a_hub_that_are_refused(place: str, words: str, running: Hub, tmp_path: Path) -> None:
    for path in ("con.txt", "META-LLAMAFILE/x", "M.GGUF"):
        running.files[f"{COMMIT}/{path}"] = b"x"
    with pytest.raises(LlamafileError, match=words):
        pull_from_hub(ImportOrder(place, tmp_path / "out", settings={"hub": running.endpoint, "runtime": "none"}))
    assert list(tmp_path.iterdir()) == []


def test_the_command_pulls_from_a_hub(running: Hub, tmp_path: Path, run_cli: CliRunner) -> None:
    env = {"HF_ENDPOINT": running.endpoint, "HF_TOKEN": "hf_secret"}
    names = ["hf://org/name@main/m.gguf", "hf://org/name@main/README.md"]
    done = run_cli("pull", *names, "--runtime", "none", "-o", "out", "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == f"hf://org/name@{COMMIT}"
    assert {credential for server, _, credential in running.asked if server == "hub"} == {"Bearer hf_secret"}
    assert {credential for server, _, credential in running.asked if server == "delivery"} == {""}
    assert "hf_secret" not in done.stdout + done.stderr
    assert run_cli("pull", "localhost:5/a:b", "localhost:5/a:c", "-o", "x").returncode == 2
