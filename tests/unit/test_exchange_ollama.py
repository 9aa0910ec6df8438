"""Models out of a store of Ollama and into one: every blob has the digest that it is called by, and nothing is lost."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import llamafile_format as lf
from llamafile_format.errors import FormatError, LlamafileError, SourceError, UsageError
from llamafile_format.exchanging import export_ollama, import_ollama, ollama, ollama_write
from llamafile_format.exchanging.descriptors import MAX_DESCRIPTORS, MAX_DOCUMENT
from llamafile_format.exchanging.ollama import models_of_ollama, read_named
from llamafile_format.exchanging.ollama_params import wished
from llamafile_format.output.orders import Exported, ExportOrder, Imported, ImportOrder
from llamafile_format.packing import Include
from tests.conftest import ROOT, CliRunner
from tests.exchange_samples import KINDS, all_below, damaged, digests, model, plain, small_disk
from tests.ollama_samples import blob, layer, manifest_of, manifest_path, stored, write_manifest
from tests.repack_samples import gguf, legacy

PARTS = [("model", model()), ("license", b"MIT\n"), ("template", b"{{ .Prompt }}"), ("params", b'{"temperature": 0.5}')]


@pytest.fixture(autouse=True)
def nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever runs on this machine at Ollama's own port is not what these tests are about."""
    monkeypatch.setattr(ollama, "PORT", 1)


def took(store: Path, out: Path, place: str = "tiny", **settings: str) -> Imported:
    return import_ollama(ImportOrder(place, out, settings={"runtime": "none", "store": str(store), **settings}))


def gave(file: Path, store: Path, name: str = "tiny", **settings: str) -> Exported:
    return export_ollama(ExportOrder(str(file), Path(name), settings={"store": str(store), **settings}))


def arguments(path: Path) -> list[str]:
    with lf.open(path) as found:
        return found.read(".args").decode().splitlines()


# In.


def test_a_model_comes_in_with_what_belongs_to_it(tmp_path: Path) -> None:
    stored(tmp_path / "store", [*PARTS, ("messages", b"[]"), ("embed", b"x")])
    done = took(tmp_path / "store", tmp_path / "out")
    with lf.open(tmp_path / "out") as found:
        assert found.manifest is not None
        roles = {each.path: each.role for each in found.manifest.members if not each.path.startswith("META-")}
        assert found.manifest.source == "ollama:registry.ollama.ai/library/tiny:latest"
        assert found.read("ollama-template.txt") == b"{{ .Prompt }}"
    assert roles == {
        "model.gguf": "weights",
        "LICENSE.txt": "license",
        "ollama-template.txt": "document",
        "ollama-messages.json": "document",
        ".args": "arguments",
    }
    assert arguments(tmp_path / "out") == ["--temp", "0.5", "..."]
    assert f"left out: a layer of {ollama.KIND}embed" in done.notes
    assert lf.verify(tmp_path / "out", level="exhaustive").exit_code() == 0


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("tiny", "registry.ollama.ai/library/tiny:latest"),
        ("me/tiny:q4", "registry.ollama.ai/me/tiny:q4"),
        ("hub.example:5000/me/tiny:q4", "hub.example:5000/me/tiny:q4"),
    ],
)
def test_names(text: str, whole: str) -> None:
    assert read_named(text).whole == whole


@pytest.mark.parametrize(
    "text", ["", "a/b/c/d", "../x", "a:..", "a:b/c", ".a", "a b", "a\n", "/a", "a/", "a:", "a:b:c"]
)
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="no name of a model"):
        read_named(text)


def test_where_the_store_is(tmp_path: Path) -> None:
    assert models_of_ollama({"HOME": str(tmp_path)}) in (
        tmp_path / ".ollama" / "models",
        Path("/usr/share/ollama/.ollama/models"),
    )
    assert models_of_ollama({"HOME": "/u", "OLLAMA_MODELS": "/big"}) == Path("/big")
    assert models_of_ollama({"OLLAMA_MODELS": "/big", "store": "/other"}) == Path("/other")


def test_what_is_not_there_is_said_with_what_is(tmp_path: Path) -> None:
    stored(tmp_path / "store", PARTS, tag="q4")
    with pytest.raises(UsageError, match="tiny:latest is not in") as caught:
        took(tmp_path / "store", tmp_path / "out")
    assert caught.value.hint == "tags of tiny there: q4"
    with pytest.raises(UsageError, match="is not at"):
        took(tmp_path / "nowhere", tmp_path / "out")


def test_two_models_need_a_word_and_two_licences_get_numbers(tmp_path: Path) -> None:
    stored(tmp_path / "store", [*PARTS, ("license", b"and more\n"), ("model", gguf("second"))])
    with pytest.raises(UsageError, match="2 models"):
        took(tmp_path / "store", tmp_path / "out")
    took(tmp_path / "store", tmp_path / "out", default="model-2.gguf")
    assert {"LICENSE.txt", "LICENSE-2.txt", "model.gguf", "model-2.gguf"} < set(digests(tmp_path / "out"))


def test_a_store_of_before_has_colons(tmp_path: Path) -> None:
    stored(tmp_path / "store", PARTS)
    for path in (tmp_path / "store" / "blobs").iterdir():
        path.rename(path.with_name(path.name.replace("-", ":")))
    took(tmp_path / "store", tmp_path / "out")


def _layer(said: dict[str, Any], number: int, **fields: Any) -> None:
    said["layers"][number].update(fields)


MANIFESTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a digest that climbs": (lambda im: _layer(im, 0, digest="sha256:../../../etc/passwd"), "no digest"),
    "a digest in capitals": (lambda im: _layer(im, 0, digest=im["layers"][0]["digest"].upper()), "no digest"),
    "a digest and a line": (lambda im: _layer(im, 0, digest=im["layers"][0]["digest"] + "\n"), "no digest"),
    "another algorithm": (lambda im: _layer(im, 0, digest="sha512:" + "0" * 128), "no digest"),
    "a digest of the configuration that climbs": (lambda im: im["config"].update(digest="sha256:.."), "no digest"),
    "another size": (lambda im: _layer(im, 0, size=im["layers"][0]["size"] + 1), "another size"),
    "a blob that is not there": (lambda im: _layer(im, 0, digest="sha256:" + "0" * 64), "is not there"),
    "too many layers": (lambda im: im.update(layers=im["layers"][:1] * (MAX_DESCRIPTORS + 1)), "too many"),
    "no schema": (lambda im: im.update(schemaVersion=1), "no image manifest"),
    "tensors": (lambda im: _layer(im, 0, mediaType=f"{ollama.KIND}tensor; name=x"), "tensor by tensor"),
    "tensors alone": (lambda im: _layer(im, 0, mediaType=f"{ollama.KIND}tensor"), "tensor by tensor"),
    "a name that climbs": (lambda im: _layer(im, 0, annotations={ollama_write.TITLE: "../m.gguf"}), "member name"),
    "a reserved name": (lambda im: _layer(im, 0, annotations={ollama_write.TITLE: "META-LLAMAFILE/x"}), "reserved"),
    "a name of Windows": (lambda im: _layer(im, 1, annotations={ollama_write.TITLE: "aux"}), "Windows"),
    "two that fold to one": (lambda im: _layer(im, 1, annotations={ollama_write.TITLE: "MODEL.gguf"}), "one file"),
    "two that compose to one": (
        lambda im: (
            _layer(im, 1, annotations={ollama_write.TITLE: "\u00e9.txt"}),
            _layer(im, 2, annotations={ollama_write.TITLE: "\u00c9.txt"}),
        ),
        "one file",
    ),
    "an engine among licences": (
        lambda im: _layer(im, 1, annotations={ollama_write.TITLE: "a.gguf"}),
        "LF|cannot|no model|weights",
    ),
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_a_hostile_manifest_is_refused(kind: str, tmp_path: Path) -> None:
    store = stored(tmp_path / "store", PARTS)
    change, words = MANIFESTS[kind]
    said = manifest_of(store)
    change(said)
    write_manifest(store, said)
    with pytest.raises(LlamafileError, match=words):
        took(store, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def _the_blob(store: Path, number: int = 0) -> Path:
    return blob(store, manifest_of(store)["layers"][number]["digest"])


def _flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)


def _linked(path: Path) -> None:
    outside = next(folder.parent for folder in path.parents if folder.name == "store") / "elsewhere"
    path.rename(outside)
    path.symlink_to(outside)


def _piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _chained(store: Path) -> None:
    path = _the_blob(store)
    path.rename(store / "blobs" / "real")
    (store / "blobs" / "hop").symlink_to("real")
    path.symlink_to("hop")


def _of_device(path: Path) -> None:
    path.unlink()
    try:
        os.mknod(path, 0o020644, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")


STORES: dict[str, tuple[Callable[[Path], object], str]] = {
    "the model with other bytes": (lambda at: _flipped(_the_blob(at)), "another SHA-256"),
    "a licence with other bytes": (lambda at: _flipped(_the_blob(at, 1)), "another SHA-256"),
    "parameters with other bytes": (lambda at: _flipped(_the_blob(at, 3)), "another SHA-256"),
    "a configuration with other bytes": (lambda at: _flipped(blob(at, manifest_of(at)["config"]["digest"])), "SHA-256"),
    "zeros": (lambda at: _the_blob(at).write_bytes(bytes(len(model()))), "LF|SHA-256"),
    "a blob cut off": (lambda at: _the_blob(at).write_bytes(model()[:-1]), "another size"),
    "a blob that is a link": (lambda at: _linked(_the_blob(at)), "is a link"),
    "a chain of links": (_chained, "is a link"),
    "a manifest that is a link": (lambda at: _linked(manifest_path(at)), "is a link"),
    "a folder of blobs elsewhere": (lambda at: _linked(at / "blobs"), "is a link"),
    "a folder of manifests elsewhere": (lambda at: _linked(at / "manifests"), "is a link"),
    "a blob that is a pipe": (lambda at: _piped(_the_blob(at)), "neither a file nor a folder"),
    "a blob that is a device": (lambda at: _of_device(_the_blob(at)), "neither a file nor a folder"),
    "a manifest that is a pipe": (lambda at: _piped(manifest_path(at)), "neither a file nor a folder"),
    "a manifest without end": (lambda at: manifest_path(at).write_bytes(b" " * (MAX_DOCUMENT + 1)), "too large"),
    "a manifest of brackets": (lambda at: manifest_path(at).write_bytes(b"[" * 9999), "cannot be read"),
    "parameters that are none": (lambda at: _text_layer(at, "params", b"[1]"), "no JSON object"),
    "parameters that are no JSON": (lambda at: _text_layer(at, "params", b"{"), "cannot be read"),
    "a number without end": (
        lambda at: _text_layer(at, "params", b'{"temperature": [' + b"1," * 99 + b"1]}"),
        "too ma",
    ),
    "a prompt that is no text": (lambda at: _text_layer(at, "system", b"\xff"), "not UTF-8"),
    "a model that runs elsewhere": (lambda at: stored(at, [], config={"remote_host": "https://x"}), "another machine"),
    "a page for a model": (lambda at: stored(at, [("model", b"<!doctype html><html>")]), "LF"),
    "no model": (lambda at: stored(at, PARTS[1:]), "no layer that is a model"),
}


def _text_layer(store: Path, kind: str, data: bytes) -> None:
    said = manifest_of(store)
    said["layers"].append(layer(store, kind, data))
    write_manifest(store, said)


@pytest.mark.parametrize("kind", STORES)
def test_a_hostile_store_is_refused(kind: str, tmp_path: Path) -> None:
    store = stored(tmp_path / "store", PARTS)
    change, words = STORES[kind]
    change(store)
    with pytest.raises(LlamafileError, match=words):
        took(store, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} <= {"store", "elsewhere"}


def test_urls_are_not_looked_at(tmp_path: Path) -> None:
    store = stored(tmp_path / "store", PARTS)
    said = manifest_of(store)
    _layer(said, 0, urls=["http://127.0.0.1:1/x"], data="eA==", **{"from": "/etc/passwd"})
    write_manifest(store, said)
    took(store, tmp_path / "out")
    assert digests(tmp_path / "out")["model.gguf"] == hashlib.sha256(model()).hexdigest()


def test_a_blob_that_changes_while_it_is_read(tmp_path: Path) -> None:
    store = stored(tmp_path / "store", [("model", gguf(size=9 << 20))])

    def write(_done: int, _total: int) -> None:
        os.utime(_the_blob(store))

    settings = {"runtime": "none", "store": str(store)}
    with pytest.raises(SourceError, match="changed while it was read"):
        import_ollama(ImportOrder("tiny", tmp_path / "out", settings=settings, progress=write))
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


# Parameters.


def test_parameters_pass_the_list_of_what_a_file_may_ask_for() -> None:
    params = {
        "temperature": 1e-05,
        "top_k": 40,
        "num_ctx": 4096,
        "stop": ["<|im_end|>", "-x", "..."],
        "num_gpu": 99,
        "top_p": 7,
        "seed": "--host",
        "min_p": True,
    }
    asked = wished(json.dumps(params).encode(), "Be kind.", "llama.cpp")
    assert asked.arguments == (
        *("--system-prompt", "Be kind."),
        *("--ctx-size", "4096"),
        *("--reverse-prompt", "<|im_end|>"),
        *("--temp", "0.00001"),
        *("--top-k", "40"),
    )
    assert asked.system
    left = " ".join(asked.refused)
    for word in ("num_gpu is left out: it has no argument", "top_p", "seed", "min_p", "stop"):
        assert f"the parameter {word}" in left


@pytest.mark.parametrize("runtime", ["none", "llama.cpp"])
@pytest.mark.parametrize("prompt", ["-be kind", "a\x1b[2J", "x" * 5000, "Be kind."])
def test_a_prompt_that_no_argument_may_be_stays_a_document(prompt: str, runtime: str, tmp_path: Path) -> None:
    asked = wished(b"", prompt, runtime)
    if prompt == "Be kind." and runtime == "llama.cpp":
        assert asked.system
        return
    assert (asked.system, asked.arguments) == (False, ())
    assert "stays a document" in asked.refused[0]
    if runtime == "none":
        stored(tmp_path / "store", [("model", model()), ("system", prompt.encode())])
        took(tmp_path / "store", tmp_path / "out")
        with lf.open(tmp_path / "out") as found:
            assert found.read("ollama-system.txt") == prompt.encode()


# Out.


@pytest.mark.parametrize("kind", KINDS)
def test_out_and_in_again(kind: str, tmp_path: Path) -> None:
    file = KINDS[kind](tmp_path / "a")
    done = gave(file, tmp_path / "store")
    took(tmp_path / "store", tmp_path / "out")
    before, after = digests(file), digests(tmp_path / "out")
    assert after == {path: digest for path, digest in before.items() if path.endswith(".gguf")}
    said = " ".join(done.notes)
    assert all(path in said for path in before.keys() - after.keys())
    assert ("signature records" in said) is (kind in ("signed by three", "converted", "recovery"))
    assert "template from the model's own metadata" in said


def test_what_is_written_is_what_ollama_keeps(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(gguf("x"))
    (tmp_path / "LICENSE").write_bytes(b"MIT\n")
    names = [Include(tmp_path / "m.gguf"), Include(tmp_path / "LICENSE")]
    args = ["--temp", "0.5", "-c", "4096", "-r", "a", "-r", "b", "--seed", "1", "--seed", "2", "--flash-attn", "on"]
    lf.pack((), tmp_path / "a", include=names, runtime="none", args=args)
    done = gave(tmp_path / "a", tmp_path / "store", "me/tiny:q4")
    path = tmp_path / "store" / "manifests" / "registry.ollama.ai" / "me" / "tiny" / "q4"
    said = json.loads(path.read_bytes())
    assert done.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert said["config"]["mediaType"] == "application/vnd.docker.container.image.v1+json"
    kinds = [each["mediaType"].removeprefix(ollama.KIND) for each in said["layers"]]
    assert kinds == ["model", "license", "params"]
    for each in (said["config"], *said["layers"]):
        data = blob(tmp_path / "store", each["digest"]).read_bytes()
        assert (f"sha256:{hashlib.sha256(data).hexdigest()}", len(data)) == (each["digest"], each["size"])
    assert len(list((tmp_path / "store" / "blobs").iterdir())) == 4
    params = json.loads(blob(tmp_path / "store", said["layers"][2]["digest"]).read_bytes())
    assert params == {"temperature": 0.5, "num_ctx": 4096, "stop": ["a", "b"], "seed": 2}
    config = json.loads(blob(tmp_path / "store", said["config"]["digest"]).read_bytes())
    assert config["model_family"] == "llama"
    assert config["rootfs"]["diff_ids"] == [each["digest"] for each in said["layers"]]
    assert "left out: --flash-attn of .args" in done.notes


def test_arguments_come_back(tmp_path: Path) -> None:
    """With the prompt, where the engine that is packed knows one."""
    (tmp_path / "m.gguf").write_bytes(gguf("x"))
    args = ["--system-prompt", "Be kind.", "--ctx-size", "4096", "--temp", "0.5"]
    runtime = "llama.cpp:linux-x86_64"
    lf.pack([tmp_path / "m.gguf"], tmp_path / "a", runtime=runtime, args=args)
    gave(tmp_path / "a", tmp_path / "store")
    took(tmp_path / "store", tmp_path / "out", runtime=runtime)
    assert digests(tmp_path / "out") == digests(tmp_path / "a")


def test_shards_and_other_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(legacy(b"#!/bin/sh\n" + bytes(4096), [("m.gguf", model())]))
    with pytest.raises(UsageError, match="legacy"):
        gave(tmp_path / "old", tmp_path / "store")
    with pytest.raises(FormatError, match="was not exported"):
        gave(damaged(plain(tmp_path / "a")), tmp_path / "store")
    (tmp_path / "notes.txt").write_text("x")
    lf.pack((), tmp_path / "b", include=[Include(tmp_path / "notes.txt")], prefix="none", runtime="none")
    with pytest.raises(LlamafileError, match="no GGUF model"):
        gave(tmp_path / "b", tmp_path / "store")
    assert not (tmp_path / "store").exists()


def _untouched(store: Path) -> dict[str, bytes]:
    return {name: (store / name).read_bytes() for name in all_below(store) if (store / name).is_file()}


@pytest.mark.parametrize("name", ["tiny", "Tiny", "tiny:LATEST", "Library/tiny"])
def test_nothing_is_replaced(name: str, tmp_path: Path) -> None:
    """Nor what Ollama could take for it: it does not tell upper case from lower."""
    store = stored(tmp_path / "store", PARTS)
    before = _untouched(store)
    order = ExportOrder(str(plain(tmp_path / "a")), Path(name), force=True, settings={"store": str(store)})
    with pytest.raises(UsageError, match="nothing is replaced") as caught:
        export_ollama(order)
    assert "ollama rm" in caught.value.hint
    assert "--force" not in caught.value.hint
    assert _untouched(store) == before


def test_a_blob_that_lies_there_is_hashed_and_never_replaced(tmp_path: Path) -> None:
    file = plain(tmp_path / "a")
    gave(file, tmp_path / "store", "one")
    before = _untouched(tmp_path / "store")
    gave(file, tmp_path / "store", "two")
    assert set(_untouched(tmp_path / "store")) - set(before) == {"manifests/registry.ollama.ai/library/two/latest"}
    path = blob(tmp_path / "store", manifest_of(tmp_path / "store", name="one")["layers"][0]["digest"])
    _flipped(path)
    before = _untouched(tmp_path / "store")
    with pytest.raises(FormatError, match="nothing is replaced"):
        gave(file, tmp_path / "store", "three")
    assert _untouched(tmp_path / "store") == before


@pytest.mark.parametrize("what", ["blobs", "manifests", "manifests/registry.ollama.ai/library"])
def test_nothing_is_written_through_a_link(what: str, tmp_path: Path) -> None:
    file, store = plain(tmp_path / "a"), stored(tmp_path / "store", PARTS)
    (store / what).rename(tmp_path / "elsewhere")
    (store / what).symlink_to(tmp_path / "elsewhere")
    before = all_below(tmp_path / "elsewhere")
    with pytest.raises(FormatError, match="is a link"):
        gave(file, store, "other")
    assert all_below(tmp_path / "elsewhere") == before


@contextlib.contextmanager
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_store_in_use_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, store = plain(tmp_path / "a"), stored(tmp_path / "store", PARTS)
    before = all_below(store)
    with listening() as port:
        for said in (f"127.0.0.1:{port}", f"http://localhost:{port}", f"0.0.0.0:{port}", f":{port}", f"[::1]:{port}/"):
            with pytest.raises(UsageError, match=f"Ollama is running.* {port}") as caught:
                gave(file, store, "other", OLLAMA_HOST=said)
            assert "stop it" in caught.value.hint
        for said in (f"203.0.113.7:{port}", f"ollama.example:{port}"):  # whose address it is need not be known here
            with pytest.raises(UsageError, match=f"Ollama is running.* {port}"):
                gave(file, store, "other", OLLAMA_HOST=said)
        monkeypatch.setattr(ollama, "PORT", port)
        with pytest.raises(UsageError, match="Ollama is running"):
            gave(file, store, "other")
    monkeypatch.setattr(ollama, "PORT", 1)
    script = "import sys; file = open(sys.argv[1]); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script, _the_blob(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(UsageError, match=f"process {other.pid} has a file of it open"):
            gave(file, store, "other")
        other.communicate("\n")
    assert set(before) == set(all_below(store))
    gave(file, store, "other")


@pytest.mark.parametrize(
    "said",
    ["203.0.113.7:{}", "ollama.example:{}", "https://ollama.example:{}/x", "[2001:db8::7]:{}", "{}", "0.0.0.0:{}"],
)
def test_nobody_but_this_machine_is_asked(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refused(place: tuple[str, int], timeout: float) -> None:
        asked.append(place)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refused)
    monkeypatch.setattr(socket, "getaddrinfo", None)  # no name is looked up
    ollama.refuse_in_use(Path("/nowhere"), {"OLLAMA_HOST": said.format(11500)})
    ports = {ollama.PORT} if said == "{}" else {ollama.PORT, 11500}
    assert set(asked) == {(host, port) for host in ("127.0.0.1", "::1") for port in ports}


def test_an_address_of_this_machine_is_asked_too() -> None:
    with socket.create_server(("127.0.0.2", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(UsageError, match=f"Ollama is running.* {port}"):
            ollama.refuse_in_use(Path("/nowhere"), {"OLLAMA_HOST": f"127.0.0.2:{port}"})


def test_a_server_that_starts_meanwhile_gets_no_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, calls = plain(tmp_path / "a"), []

    def started(root: Path, _settings: object) -> None:
        calls.append(root)
        if len(calls) == 3:
            raise UsageError("Ollama is running")

    monkeypatch.setattr(ollama_write, "refuse_in_use", started)
    with pytest.raises(UsageError, match="is running"):
        gave(file, tmp_path / "x" / "store")
    assert all_below(tmp_path) == ["a"]


def test_two_exports_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, store = plain(tmp_path / "a"), tmp_path / "store"
    store.mkdir()
    holder = os.open(store, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(UsageError, match="another export is writing") as caught:
        gave(file, store)
    assert "run the command again" in caught.value.hint
    os.close(holder)
    assert all_below(store) == []
    copy = ollama_write.checked_copy

    def late(*args: Any, **kwargs: Any) -> Any:
        """Somebody who knows nothing of locks names the same model."""
        manifest_path(store).write_bytes(b"theirs")
        return copy(*args, **kwargs)

    monkeypatch.setattr(ollama_write, "checked_copy", late)
    with pytest.raises(UsageError, match=r"latest exists") as caught:
        gave(file, store)
    assert "--force" not in caught.value.hint
    assert _untouched(store) == {"manifests/registry.ollama.ai/library/tiny/latest": b"theirs"}


@pytest.mark.parametrize("existing", [False, True])
def test_a_full_disk_leaves_nothing_not_even_folders(existing: bool, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    file = KINDS["odd members"](tmp_path / "in" / "a")
    if existing:
        stored(tmp_path / "x" / "store", PARTS)
    before = all_below(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "llamafile_format", "export", str(file), "--ollama", "other", "--store", "x/store"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=small_disk,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "nothing was left" in done.stderr
    assert all_below(tmp_path) == before


def test_a_fault_after_the_first_blob_takes_it_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, store = plain(tmp_path / "a"), tmp_path / "store"
    copy, count = ollama_write.checked_copy, iter(range(9))

    def full(*args: Any, **kwargs: Any) -> Any:
        if next(count):
            raise OSError(errno.ENOSPC, "full")
        return copy(*args, **kwargs)

    monkeypatch.setattr(ollama_write, "checked_copy", full)
    with pytest.raises(SourceError, match="no space left"):
        gave(file, store)
    assert all_below(tmp_path) == ["a"]


def test_commands(tmp_path: Path, run_cli: CliRunner) -> None:
    plain(tmp_path / "a.llamafile")
    env = {"OLLAMA_MODELS": str(tmp_path / "store"), "OLLAMA_HOST": None}
    done = run_cli("export", "a.llamafile", "--ollama", "tiny:q4", env=env)
    if "is running" in done.stderr:
        pytest.skip("something answers at Ollama's port on this machine")
    assert done.returncode == 0, done.stderr
    assert "left out: a.txt, docs/b.md" in done.stderr
    done = run_cli("export", "a.llamafile", "--ollama", "tiny:q4", "--force", env=env)
    assert (done.returncode, "nothing is replaced" in done.stderr) == (2, True)
    done = run_cli("import", "ollama:tiny:q4", "--runtime", "none", "-o", "b.llamafile", "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "tiny:q4"
    assert digests(tmp_path / "b.llamafile").items() <= digests(tmp_path / "a.llamafile").items()
