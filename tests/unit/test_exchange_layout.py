"""A container in an OCI layout: the same image every time, back bit for bit, and nothing from a hostile one."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import jsonschema
import pytest

import llamafile_format as lf
from llamafile_format.errors import FormatError, LimitExceeded, SourceError, UsageError
from llamafile_format.exchanging import Layout, Taken, named_layout, take
from llamafile_format.exchanging.descriptors import MAX_DESCRIPTORS, MAX_DOCUMENT
from tests.exchange_samples import (
    KINDS,
    PACK,
    all_below,
    blob,
    foreign,
    image_of,
    model,
    named,
    odd_members,
    plain,
    put,
    sent,
    signed_by_three,
    tarred,
)
from tests.repack_samples import legacy

Cli = Callable[..., "CompletedProcess[str]"]
SCHEMA = Path(__file__).resolve().parents[1] / "data" / "modelpack" / "config-schema.json"


def back(layout: Path, out: Path, tag: str = "v1") -> Taken:
    return take(Layout(layout, tag), out)


@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_back_bit_for_bit(kind: str, tmp_path: Path) -> None:
    file = KINDS[kind](tmp_path / "a.llamafile")
    first = sent(file, tmp_path / "layout")
    taken = back(tmp_path / "layout", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == file.read_bytes()
    assert taken.restored
    assert taken.notes == ()
    assert (
        taken.records == first.records == (3 if kind == "signed by three" else int(kind in ("converted", "recovery")))
    )
    other = sent(tmp_path / "out", tmp_path / "other")
    assert other.digest == first.digest
    assert (tmp_path / "other" / "index.json").read_bytes() == (tmp_path / "layout" / "index.json").read_bytes()
    assert sent(file, tmp_path / "layout").sent == 0  # all is there already


def test_every_member_is_a_layer_by_its_own_digest(tmp_path: Path) -> None:
    file = KINDS["odd members"](tmp_path / "a.llamafile")
    sent(file, tmp_path / "layout")
    image = image_of(tmp_path / "layout")
    with lf.open(file) as found:
        assert found.manifest is not None
        members = {each.path: f"sha256:{each.sha256}" for each in found.manifest.members if each.size}
        digest = hashlib.sha256(found.manifest_bytes).hexdigest()
    layers = {each["annotations"]["org.cncf.model.filepath"]: each["digest"] for each in image["layers"]}
    assert layers == {**members, "META-LLAMAFILE/manifest.json": f"sha256:{digest}"}
    assert layers["one.txt"] == layers["two.txt"]
    assert "empty.txt" not in layers
    assert image["layers"][0]["annotations"]["org.cncf.model.filepath"] == "m.gguf"
    assert {each["mediaType"].rpartition(".")[2] for each in image["layers"]} == {"raw"}
    assert image["annotations"] == {"org.llamafile.manifest": digest}


@pytest.mark.parametrize("kind", KINDS)
def test_the_configuration_obeys_the_schema_of_modelpack(kind: str, tmp_path: Path) -> None:
    sent(KINDS[kind](tmp_path / "a.llamafile"), tmp_path / "layout")
    image = image_of(tmp_path / "layout")
    assert image["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    config = json.loads(blob(tmp_path / "layout", image["config"]["digest"]).read_bytes())
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_bytes())).validate(config)
    assert config["modelfs"]["diffIds"] == [layer["digest"] for layer in image["layers"]]


def test_signing_does_not_change_the_image(tmp_path: Path) -> None:
    before = sent(plain(tmp_path / "a"), tmp_path / "layout")
    after = sent(signed_by_three(tmp_path / "b"), tmp_path / "layout")
    assert before.digest == after.digest
    assert after.records == 3


def test_one_layout_holds_many(tmp_path: Path) -> None:
    plain(tmp_path / "a")
    KINDS["engine"](tmp_path / "b")
    sent(tmp_path / "a", tmp_path / "layout", "a")
    sent(tmp_path / "b", tmp_path / "layout", "b")
    for name in "ab":
        back(tmp_path / "layout", tmp_path / f"{name}.out", name)
        assert (tmp_path / f"{name}.out").read_bytes() == (tmp_path / name).read_bytes()
    with pytest.raises(UsageError, match="2 images"):
        back(tmp_path / "layout", tmp_path / "c", "")
    with pytest.raises(UsageError, match="no image 'c'"):
        back(tmp_path / "layout", tmp_path / "c", "c")


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "thing").write_text("")
    with pytest.raises(UsageError, match="holds other things"):
        sent(plain(tmp_path / "a"), tmp_path / "there")


def test_damage_is_not_sent(tmp_path: Path) -> None:
    file = plain(tmp_path / "a")
    data = bytearray(file.read_bytes())
    with lf.open(file) as found:
        data[found.entry("tiny.gguf").data_offset + 200] ^= 1
    file.write_bytes(data)
    with pytest.raises(FormatError, match=r"tiny\.gguf is damaged"):
        sent(file, tmp_path / "layout")
    assert not (tmp_path / "layout").exists()
    (tmp_path / "there").mkdir()
    with pytest.raises(FormatError, match=r"tiny\.gguf is damaged"):
        sent(file, tmp_path / "there")
    assert list((tmp_path / "there").iterdir()) == []
    good = sent(odd_members(tmp_path / "b"), tmp_path / "good")
    with pytest.raises(FormatError, match=r"tiny\.gguf is damaged"):
        sent(file, tmp_path / "good", "v2")
    assert back(tmp_path / "good", tmp_path / "out", "v1").digest == good.digest


def test_a_blob_that_lies_there_is_not_believed(tmp_path: Path) -> None:
    file = plain(tmp_path / "a")
    sent(file, tmp_path / "layout")
    path = blob(tmp_path / "layout", image_of(tmp_path / "layout")["layers"][0]["digest"])
    path.write_bytes(bytes(path.stat().st_size))
    assert sent(file, tmp_path / "layout").sent == path.stat().st_size
    back(tmp_path / "layout", tmp_path / "out")


def test_a_legacy_file_is_refused_with_the_command(tmp_path: Path, run_cli: Cli) -> None:
    (tmp_path / "old").write_bytes(legacy(b"#!/bin/sh\n" + bytes(4096), [("m.gguf", model())]))
    done = run_cli("export", "old", "--oci-layout", "layout")
    assert done.returncode == 2
    assert "llamafile-format repack old -o" in done.stderr
    assert not (tmp_path / "layout").exists()


def test_commands(tmp_path: Path, run_cli: Cli) -> None:
    signed_by_three(tmp_path / "a.llamafile")
    done = run_cli("export", "a.llamafile", "--oci-layout", "layout:v1")
    assert done.returncode == 0
    assert "3 signature records" in done.stderr
    done = run_cli("import", "oci:layout:v1", "-o", "out", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["size"] == (tmp_path / "a.llamafile").stat().st_size
    assert (tmp_path / "out").read_bytes() == (tmp_path / "a.llamafile").read_bytes()
    assert run_cli("import", "oci:layout", "-o", "out").returncode == 2  # it is there
    assert run_cli("import", "oci:layout:v2", "-o", "other").returncode == 2
    assert run_cli("import", "oci:nothing", "-o", "other").returncode == 4


def test_names_of_layouts(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    assert named_layout(f"{tmp_path}/a:b") == (tmp_path / "a:b", "")
    assert named_layout("x:v1") == (Path("x"), "v1")
    assert named_layout("x:y/z") == (Path("x:y/z"), "")
    for text in ("x:", "x:-", "x:" + "a" * 129, "x:a b"):
        with pytest.raises(UsageError, match="no tag"):
            named_layout(text)


# Records.


def _referrers(layout: Path) -> list[dict[str, Any]]:
    entries = json.loads((layout / "index.json").read_bytes())["manifests"]
    return sorted(
        (each for each in entries if "org.llamafile.record.number" in each["annotations"]),
        key=lambda each: str(each["annotations"]["org.llamafile.record.number"]),
    )


def _without(layout: Path, gone: list[dict[str, Any]]) -> None:
    path = layout / "index.json"
    index = json.loads(path.read_bytes())
    index["manifests"] = [each for each in index["manifests"] if each not in gone]
    path.write_text(json.dumps(index))


def test_a_record_that_is_missing_is_said_and_those_behind_it_stay_out(tmp_path: Path) -> None:
    file = signed_by_three(tmp_path / "a")
    sent(file, tmp_path / "layout")
    _without(tmp_path / "layout", [_referrers(tmp_path / "layout")[1]])
    taken = back(tmp_path / "layout", tmp_path / "out")
    assert taken.records == 1
    assert len(taken.notes) == 1
    assert "0003" in taken.notes[0]
    assert "0002 is missing" in taken.notes[0]
    assert lf.verify(tmp_path / "out", level="exhaustive").exit_code() == 0


def test_records_of_another_file_stay_out(tmp_path: Path) -> None:
    """They say that they are of this one: what they sign tells."""
    other = KINDS["converted"](tmp_path / "b")
    sent(other, tmp_path / "other")
    sent(plain(tmp_path / "a"), tmp_path / "layout")
    image = image_of(tmp_path / "layout")
    (entry,) = json.loads((tmp_path / "layout" / "index.json").read_bytes())["manifests"]
    (theirs,) = _referrers(tmp_path / "other")
    referrer = json.loads(blob(tmp_path / "other", theirs["digest"]).read_bytes())
    referrer["subject"] = {key: entry[key] for key in ("mediaType", "digest", "size")}
    for lie in (False, True):
        if lie:
            referrer["annotations"]["org.llamafile.manifest"] = image["annotations"]["org.llamafile.manifest"]
        for each in ("config", "layers"):
            for layer in [referrer[each]] if each == "config" else referrer[each]:
                put(tmp_path / "layout", blob(tmp_path / "other", layer["digest"]).read_bytes())
        listed = {"mediaType": entry["mediaType"], **put(tmp_path / "layout", json.dumps(referrer).encode())}
        index = {"schemaVersion": 2, "manifests": [entry, listed]}
        (tmp_path / "layout" / "index.json").write_text(json.dumps(index))
        taken = back(tmp_path / "layout", tmp_path / f"out{lie}")
        assert taken.records == 0
        assert len(taken.notes) == 1
        assert (tmp_path / f"out{lie}").read_bytes() == (tmp_path / "a").read_bytes()


# Hostile layouts. Each changes what a genuine one says.


def _changed(layout: Path, change: Callable[[dict[str, Any]], object]) -> None:
    image = image_of(layout)
    change(image)
    named(layout, image)


def _rename(image: dict[str, Any], name: str) -> None:
    image["layers"][0]["annotations"]["org.cncf.model.filepath"] = name


HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a digest that climbs": (lambda im: im["layers"][0].update(digest="sha256:../../../../etc/passwd"), "no digest"),
    "a digest in capitals": (lambda im: im["layers"][0].update(digest=im["layers"][0]["digest"].upper()), "no digest"),
    "a digest and a line": (lambda im: im["layers"][0].update(digest=im["layers"][0]["digest"] + "\n"), "no digest"),
    "another algorithm": (lambda im: im["layers"][0].update(digest="sha512:" + "0" * 128), "no digest"),
    "a size that is none": (lambda im: im["layers"][0].update(size=-1), "no size"),
    "a huge size": (lambda im: im["layers"][0].update(size=1 << 63), "no size"),
    "another size": (lambda im: im["layers"][0].update(size=im["layers"][0]["size"] + 1), "not what the manifest"),
    "a layer twice": (lambda im: im["layers"].append(im["layers"][0]), "two layers are called"),
    "a layer too few": (lambda im: im["layers"].pop(0), "lacks"),
    "a layer of another name": (lambda im: _rename(im, "other.gguf"), "not what the manifest"),
    "a packed layer": (lambda im: im["layers"][0].update(mediaType=f"{PACK}weight.v1.tar"), "not stored as it is"),
    "no manifest": (lambda im: im["layers"].pop(), "has no META-LLAMAFILE"),
    "another manifest": (lambda im: im["annotations"].update({"org.llamafile.manifest": "0" * 64}), "another digest"),
    "a form that is none": (lambda im: im["annotations"].update({"org.llamafile.form": "../x"}), "no form"),
    "a form that it has not": (lambda im: im["annotations"].update({"org.llamafile.form": "elf-x86_64"}), "no form"),
    "an index": (lambda im: im.update(manifests=[]), "index of several"),
    "a schema of its own": (lambda im: im.update(schemaVersion=1), "no image manifest"),
    "annotations that are none": (lambda im: im.update(annotations={"a": 1}), "annotations"),
    "too many layers": (lambda im: im.update(layers=[im["layers"][0]] * (MAX_DESCRIPTORS + 1)), "too many"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_image_is_refused(kind: str, tmp_path: Path) -> None:
    sent(plain(tmp_path / "a"), tmp_path / "layout")
    change, words = HOSTILE[kind]
    layers = image_of(tmp_path / "layout")["layers"]
    assert layers[-1]["annotations"]["org.cncf.model.filepath"] == "META-LLAMAFILE/manifest.json"
    _changed(tmp_path / "layout", change)
    with pytest.raises(FormatError, match=words):
        back(tmp_path / "layout", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "layout"]


def test_bytes_of_another_digest_are_refused(tmp_path: Path) -> None:
    """Each layer in turn, with the size that it should have."""
    sent(KINDS["engine"](tmp_path / "a"), tmp_path / "layout")
    shutil.rmtree(tmp_path / "a.parts")
    for layer in image_of(tmp_path / "layout")["layers"]:
        if layer["annotations"]["org.llamafile.role"] == "chunks":
            continue  # is made anew from the others
        path = blob(tmp_path / "layout", layer["digest"])
        genuine = path.read_bytes()
        path.write_bytes(genuine[:-1] + bytes([genuine[-1] ^ 1]))
        with pytest.raises(FormatError, match=r"another (SHA-256|digest)"):
            back(tmp_path / "layout", tmp_path / "out")
        path.write_bytes(genuine[:-1])
        with pytest.raises(FormatError, match="another size"):
            back(tmp_path / "layout", tmp_path / "out")
        path.write_bytes(genuine)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "layout"]
    back(tmp_path / "layout", tmp_path / "out")


def test_a_link_for_a_blob_is_refused(tmp_path: Path) -> None:
    sent(plain(tmp_path / "a"), tmp_path / "layout")
    path = blob(tmp_path / "layout", image_of(tmp_path / "layout")["layers"][0]["digest"])
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FormatError, match="is a link"):
        back(tmp_path / "layout", tmp_path / "out")
    path.unlink()
    with pytest.raises(SourceError):
        back(tmp_path / "layout", tmp_path / "out")


@pytest.mark.parametrize("name", ["oci-layout", "index.json", "blobs", "blobs/sha256"])
def test_a_layout_of_links_is_neither_read_nor_written_to(name: str, tmp_path: Path) -> None:
    layout, elsewhere = tmp_path / "layout", tmp_path / "elsewhere"
    sent(plain(tmp_path / "a"), layout)
    (layout / name).rename(elsewhere)
    (layout / name).symlink_to(elsewhere)
    before = all_below(tmp_path)
    with pytest.raises(FormatError, match="is a link"):
        back(layout, tmp_path / "out")
    with pytest.raises(FormatError, match="is a link"):
        sent(odd_members(tmp_path / "b"), layout)
    assert [path for path in all_below(tmp_path) if path[0] != "b"] == before


def test_urls_are_not_looked_at(tmp_path: Path) -> None:
    sent(plain(tmp_path / "a"), tmp_path / "layout")
    _changed(tmp_path / "layout", lambda im: im["layers"][0].update(urls=["http://127.0.0.1:1/x"], data="eA=="))
    back(tmp_path / "layout", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == (tmp_path / "a").read_bytes()


def test_a_key_that_stands_there_twice_and_a_text_without_end(tmp_path: Path) -> None:
    sent(plain(tmp_path / "a"), tmp_path / "layout")
    (tmp_path / "layout" / "index.json").write_text('{"schemaVersion":2,"schemaVersion":2,"manifests":[]}')
    with pytest.raises(FormatError, match="twice"):
        Layout(tmp_path / "layout")
    (tmp_path / "layout" / "index.json").write_bytes(b" " * (MAX_DOCUMENT + 1))
    with pytest.raises(LimitExceeded, match="too large"):
        Layout(tmp_path / "layout")
    (tmp_path / "layout" / "index.json").write_bytes(b"[" * 9999)
    with pytest.raises(FormatError):
        Layout(tmp_path / "layout")


# Images of others.

WEIGHTS = f"{PACK}weight.v1.raw"
DOC = f"{PACK}doc.v1.raw"
KIT = "application/vnd.kitops.modelkit."
DOCKER = "application/vnd.docker.ai."


def packed(layout: Path, out: Path) -> dict[str, bytes]:
    """The files of an image of others once it was imported."""
    taken = take(Layout(layout), out, runtime="none")
    assert not taken.restored
    assert lf.verify(out, level="exhaustive").exit_code() == 0
    with lf.open(out) as found:
        assert found.manifest is not None
        paths = [each.path for each in found.manifest.members if not each.path.startswith("META-LLAMAFILE/")]
        return {path: found.read(path) for path in paths}


def test_a_modelpack_of_others(tmp_path: Path) -> None:
    layers = [(WEIGHTS, "sub/m.gguf", model()), (DOC, "LICENSE", b"MIT\n")]
    layers += [(f"{PACK}code.v1.tar", "x", tarred([("./code/run.py", b"1"), ("a" * 120 + "/b", b"2")]))]
    files = packed(foreign(tmp_path / "layout", layers), tmp_path / "out")
    expected = {"sub/m.gguf": model(), "LICENSE": b"MIT\n", "code/run.py": b"1", "a" * 120 + "/b": b"2"}
    assert files == expected
    lf.pack([], tmp_path / "own", prefix="none", include=_written(tmp_path / "own.parts", expected))
    assert (tmp_path / "own").read_bytes() == (tmp_path / "out").read_bytes()  # as pack would


def _written(folder: Path, files: dict[str, bytes]) -> list[lf.Include]:
    folder.mkdir()
    found = []
    for number, (name, data) in enumerate(files.items()):
        (folder / str(number)).write_bytes(data)
        found.append(lf.Include(folder / str(number), name))
    return found


@pytest.mark.parametrize("packing", ["", "gzip", "zstd"])
def test_a_kit(packing: str, tmp_path: Path) -> None:
    form = f"v1.tar+{packing}" if packing else "v1.tar"
    layers = [
        (f"{KIT}model.{form}", "", tarred([("m.gguf", model())], packing)),
        (f"{KIT}docs.{form}", "", tarred([("README.md", b"# x\n")], packing)),
    ]
    files = packed(foreign(tmp_path / "layout", layers, f"{KIT}config.v1+json"), tmp_path / "out")
    assert files == {"m.gguf": model(), "README.md": b"# x\n"}


def test_a_docker_model_artifact(tmp_path: Path) -> None:
    layers = [(f"{DOCKER}gguf.v3", "", model()), (f"{DOCKER}license", "", b"MIT\n")]
    files = packed(foreign(tmp_path / "layout", layers, f"{DOCKER}model.config.v0.1+json"), tmp_path / "out")
    assert files == {"model.gguf": model(), "LICENSE": b"MIT\n"}


BAD_LAYERS: dict[str, tuple[list[tuple[str, str, bytes]], str]] = {
    "climbs": ([(WEIGHTS, "../m.gguf", b"")], "cannot be a member name"),
    "absolute": ([(WEIGHTS, "/etc/m.gguf", b"")], "cannot be a member name"),
    "backslash": ([(WEIGHTS, "a\\m.gguf", b"")], "cannot be a member name"),
    "control": ([(WEIGHTS, "m\x1b.gguf", b"")], "cannot be a member name"),
    "reserved": ([(DOC, "META-LLAMAFILE/x", b"x")], "reserved folder"),
    "reserved in small": ([(DOC, "meta-llamafile/x", b"x")], "reserved folder"),
    "twice": ([(DOC, "a.txt", b"x"), (DOC, "A.txt", b"y")], "could be one file"),
    "a folder and a file": ([(DOC, "a", b"x"), (DOC, "a/b", b"y")], "could be one file"),
    "an image that runs": ([("application/vnd.oci.image.layer.v1.tar", "", b"x")], "no model that is known"),
    "a link in a tar": ([(f"{PACK}code.v1.tar", "", tarred([], link="m.gguf"))], "link"),
    "climbs in a tar": ([(f"{PACK}code.v1.tar", "", tarred([("../x", b"x")]))], "cannot be a member name"),
    "no tar": ([(f"{PACK}code.v1.tar", "", b"x" * 1024)], "tar header"),
    "a tar cut off": ([(f"{PACK}code.v1.tar", "", tarred([("x", b"x" * 2000)])[:1024])], "middle of a file"),
    "gzip cut off": ([(f"{PACK}code.v1.tar+gzip", "", tarred([("x", b"x")], "gzip")[:-9])], "too early"),
    "gzip and more": ([(f"{PACK}code.v1.tar+gzip", "", tarred([("x", b"x")], "gzip") + b"more")], "behind its end"),
    "zstd cut off": ([(f"{PACK}code.v1.tar+zstd", "", tarred([("x", b"x")], "zstd")[:-9])], "too early"),
    "no zstd": ([(f"{PACK}code.v1.tar+zstd", "", b"x" * 99)], "cannot be unpacked"),
    "a bomb of gzip": ([(f"{PACK}code.v1.tar+gzip", "", tarred([("x", bytes(80 << 20))], "gzip"))], "far more"),
    "a bomb of zstd": ([(f"{PACK}code.v1.tar+zstd", "", tarred([("x", bytes(80 << 20))], "zstd"))], "far more"),
    "too many files": ([(f"{PACK}code.v1.tar", "", tarred([(str(n), b"") for n in range(8193)]))], "too many files"),
}


@pytest.mark.parametrize("kind", BAD_LAYERS)
def test_a_hostile_layer_is_refused(kind: str, tmp_path: Path) -> None:
    layers, words = BAD_LAYERS[kind]
    foreign(tmp_path / "layout", [(WEIGHTS, "weights.gguf", model()), *layers])
    with pytest.raises(FormatError, match=words):
        take(Layout(tmp_path / "layout"), tmp_path / "out", runtime="none")
    assert [path.name for path in tmp_path.iterdir()] == ["layout"]


@pytest.mark.parametrize("kind", [WEIGHTS, f"{PACK}weight.v1.tar"])
def test_layers_of_others_are_hashed(kind: str, tmp_path: Path) -> None:
    data = model() if kind == WEIGHTS else tarred([("m.gguf", model())])
    foreign(tmp_path / "layout", [(kind, "m.gguf", data)])
    path = blob(tmp_path / "layout", f"sha256:{hashlib.sha256(data).hexdigest()}")
    changed = bytearray(data)
    changed[data.index(b"llama") + 4000 if len(data) > 9000 else len(data) - (5 if kind == WEIGHTS else 1)] ^= 1
    path.write_bytes(changed)
    with pytest.raises(FormatError, match=r"another (SHA-256|digest)"):
        take(Layout(tmp_path / "layout"), tmp_path / "out", runtime="none")
    assert [path.name for path in tmp_path.iterdir()] == ["layout"]
