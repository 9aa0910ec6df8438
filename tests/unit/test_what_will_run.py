"""What a file will run, and the order of versions (spec/1, 14.7): every vector, by description and as a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llamafile_format.checks.run_here import Installation, Wish, run_here
from llamafile_format.checks.what_will_run import Described, Entry, Use, choose_build, decide
from llamafile_format.engines.members import parse_runtime_path
from llamafile_format.engines.successors import Installed
from llamafile_format.engines.versions import version_key
from llamafile_format.prefix.arguments import Dialect
from tests.conftest import ROOT

FOLDER = ROOT / "spec" / "vectors" / "will-run"
FILES = sorted(path for path in FOLDER.glob("*.json") if path.name != "versions.json")


def described(archive: dict[str, Any]) -> Described:
    """The input of the function from a vector."""
    arguments = archive["arguments"]
    return Described(
        entries=tuple(Entry(item["path"], item["role"], item["offset"]) for item in archive["members"]),
        manifest=archive["manifest"],
        default=archive["default"],
        dialect=Dialect(archive["dialect"]),
        arguments=None if arguments is None else arguments.encode(),
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_answer_is_that_of_the_vector(path: Path) -> None:
    value = json.loads(path.read_text("utf-8"))
    assert decide(described(value["archive"])).to_json() == value["answer"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_everything_that_is_opened_is_told(path: Path) -> None:
    value = json.loads(path.read_text("utf-8"))
    uses = decide(described(value["archive"])).uses
    answer = value["answer"]
    single = [answer[key] for key in ("arguments", "model", "projector", "draft", "grammar", "page")]
    named = {item["member"] for item in [*single, *answer["adapters"]] if item}
    named |= {build["member"] for build in answer["builds"]}
    assert named - {""} <= {member for member, _ in uses}


HERE = [path for path in FILES if path.stem.startswith("here-")]


@pytest.mark.parametrize("path", HERE, ids=lambda path: path.stem)
def test_what_starts_here_is_that_of_the_vector(path: Path) -> None:
    value = json.loads(path.read_text("utf-8"))
    given = value["installation"]
    named = [(parse_runtime_path(each["build"]), each["complete"]) for each in given["builds"]]
    installation = Installation(
        given["target"],
        tuple(Installed(name, complete) for name, complete in named if name is not None),
        barred=frozenset(given["barred"]),
        unfit=frozenset(given["unfit"]),
    )
    found = run_here(decide(described(value["archive"])).builds, installation, Wish(**value["wish"]))
    assert (None if found is None else found.to_json()) == value["here"]


def test_a_file_is_judged_as_its_description() -> None:
    from llamafile_format.checks.what_will_run import what_will_run
    from llamafile_format.container import Container
    from llamafile_format.source import BytesSource
    from spec.vectors.generate.forge import Part, Spec, container, gguf

    members = [Part(".args", b"-m\n/zip/n.gguf\n...\n", "arguments", "text/plain")]
    members += [Part(name, gguf(), "weights", "application/x-gguf", align=32) for name in ("m.gguf", "n.gguf")]
    data = container(Spec(members, labels={"default": "m.gguf"}))
    value = json.loads((FOLDER / "named-model.json").read_text("utf-8"))
    with Container(BytesSource(data)) as opened:
        found = what_will_run(opened).to_json()
    assert found == {**value["answer"]}


def test_shards_are_opened_with_the_first() -> None:
    names = [f"x-0000{number}-of-00002.gguf" for number in (1, 2)]
    entries = tuple(Entry(name, role) for name, role in zip(names, ("weights", "document"), strict=True))
    uses = decide(Described(entries, manifest=True, default=names[0], dialect=Dialect.NATIVE)).uses
    assert uses == ((names[0], Use.MODEL), (names[1], Use.MODEL))


def test_a_build_is_chosen_by_wish_and_offset() -> None:
    value = json.loads((FOLDER / "builds.json").read_text("utf-8"))
    builds = decide(described(value["archive"])).builds
    target = "linux-x86_64"

    def member(**wishes: str) -> str:
        found = choose_build(builds, target, **wishes)
        return found.member if found else ""

    assert member() == "runtimes/llama.cpp/0.3.36/native/linux-x86_64"
    assert member(flavour="reference") == "runtimes/llama.cpp/0.3.36/reference/linux-x86_64"
    assert member(runtime="llama.cpp@0.4.0") == "runtimes/llama.cpp/0.4.0/native/linux-x86_64"
    assert member(runtime="bitnet.cpp") == ""
    assert choose_build(builds, "macos-aarch64") is None


def test_versions_have_one_order() -> None:
    order = json.loads((FOLDER / "versions.json").read_text("utf-8"))["order"]
    assert sorted(order, key=version_key) == [*order]
    assert len({version_key(version) for version in order}) == len(order)
