"""Registries and tools of other people: what we send they keep and copy, and what they have copied we take."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llamafile_format.container import open_container
from llamafile_format.exchanging import Reference, Registry, Sent, Terms, Upload, read_reference, send, take
from tests.conftest import ROOT, CliRunner
from tests.docker_registry import docker_registry
from tests.docs_pages import script_of
from tests.exchange_samples import KINDS, blob, foreign, image_of, model, plain, signed_by_three, tarred
from tests.hub_cache_samples import COMMIT, cached
from tests.object_stores import hub
from tests.ollama_samples import stored

TYPED = ("An OCI layout", "A registry", "Folders of models", "A hub, and its cache", "Ollama", "Models of others")
pytestmark = [pytest.mark.interop]


@pytest.fixture(scope="module")
def registry(tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Host and port of a docker-registry; it has no interface for referrers."""
    with docker_registry(tool("docker-registry"), tmp_path_factory.mktemp("registry") / "here") as host:
        yield host


def skopeo(program: Path, folder: Path, *words: str) -> str:
    """What skopeo says; it trusts everybody, and writes nothing of its own."""
    policy = folder / "policy.json"
    policy.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
    command = [program, "--policy", policy, *words]
    with (folder / "said").open("w+") as said:
        subprocess.run(command, stdout=said, stderr=subprocess.STDOUT, check=False, timeout=300)
        said.seek(0)
        return said.read()


@pytest.mark.parametrize("kind", KINDS)
def test_a_registry_gives_back_what_it_was_given(kind: str, registry: str, tmp_path: Path) -> None:
    file = KINDS[kind](tmp_path / "a.llamafile")
    place = read_reference(f"{registry}/models/{kind.replace(' ', '-')}:v1")
    assert pushed(file, place).sent > 0
    with Registry(place, Terms()) as giver:
        assert take(giver, tmp_path / "out").notes == ()
    assert (tmp_path / "out").read_bytes() == file.read_bytes()
    assert pushed(tmp_path / "out", place).sent == 0


def pushed(file: Path, place: Reference) -> Sent:
    """``file`` in the registry."""
    with open_container(file) as container, Upload(place, Terms()) as taker:
        return send(container, taker)


def test_skopeo_copies_what_we_sent_and_we_take_what_it_copied(
    registry: str, tool: Callable[[str], Path], tmp_path: Path, run_cli: CliRunner
) -> None:
    program, file = tool("skopeo"), signed_by_three(tmp_path / "a")
    sent = json.loads(run_cli("push", file, f"{registry}/skopeo/one:v1", "--json").stdout)
    plainly = ("--src-tls-verify=false", "--dest-tls-verify=false")
    there, other = f"docker://{registry}/skopeo/one:v1", f"docker://{registry}/skopeo/two:v1"
    skopeo(program, tmp_path, "copy", *plainly, there, f"oci:{tmp_path / 'layout'}:v1")
    skopeo(program, tmp_path, "copy", *plainly, f"oci:{tmp_path / 'layout'}:v1", other)
    raw = skopeo(program, tmp_path, "inspect", "--tls-verify=false", "--raw", other)
    assert f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}" == sent["digest"]
    first = json.loads(run_cli("pull", f"{registry}/skopeo/one:v1", "-o", "one", "--json").stdout)
    second = json.loads(run_cli("pull", f"{registry}/skopeo/two:v1", "-o", "two", "--json").stdout)
    assert first["sha256"] == second["sha256"]
    unsigned = plain(tmp_path / "b")  # skopeo leaves referrers behind
    assert (tmp_path / "two").read_bytes() == unsigned.read_bytes()
    assert (tmp_path / "one").read_bytes() == file.read_bytes()
    assert run_cli("import", f"oci:{tmp_path / 'layout'}:v1", "-o", "three").returncode == 0
    assert (tmp_path / "three").read_bytes() == unsigned.read_bytes()


def test_what_skopeo_sends_we_take(
    registry: str, tool: Callable[[str], Path], tmp_path: Path, run_cli: CliRunner
) -> None:
    file = plain(tmp_path / "a")
    assert run_cli("export", file, "--oci-layout", "layout:v1").returncode == 0
    target = f"docker://{registry}/skopeo/three:v1"
    skopeo(tool("skopeo"), tmp_path, "copy", "--dest-tls-verify=false", f"oci:{tmp_path / 'layout'}:v1", target)
    assert run_cli("pull", f"{registry}/skopeo/three:v1", "-o", "out").returncode == 0
    assert (tmp_path / "out").read_bytes() == file.read_bytes()
    assert image_of(tmp_path / "layout")["layers"]


def test_oras_takes_every_member_by_its_name(registry: str, tmp_path: Path, run_cli: CliRunner) -> None:
    client = pytest.importorskip("oras.client")
    file = plain(tmp_path / "a")
    assert run_cli("push", file, f"{registry}/oras/one:v1").returncode == 0
    assert run_cli("export", file, "--oci-layout", "layout:v1").returncode == 0
    found = client.OrasClient(insecure=True).pull(target=f"{registry}/oras/one:v1", outdir=str(tmp_path / "oras"))
    layers = image_of(tmp_path / "layout")["layers"]
    assert len(found) == len(layers)
    for layer in layers:
        path = tmp_path / "oras" / layer["annotations"]["org.opencontainers.image.title"]
        assert path.read_bytes() == blob(tmp_path / "layout", layer["digest"]).read_bytes()


def test_the_page_works(registry: str, tool: Callable[[str], Path], tmp_path: Path) -> None:
    """docs/exchange.md, typed: the registry of the page is one of this machine."""
    signed_by_three(tmp_path / "model.llamafile")
    foreign(
        tmp_path / "kit",
        [("application/vnd.kitops.modelkit.model.v1.tar", "", tarred([("m.gguf", model())]))],
        tag="latest",
    )
    policy = tmp_path / ".config" / "containers" / "policy.json"
    policy.parent.mkdir(parents=True)
    policy.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
    page = (ROOT / "docs" / "exchange.md").read_text("utf-8")
    sections = [part for part in page.split("\n## ") if part.startswith(TYPED)]
    assert len(sections) == len(TYPED)
    script = script_of("\n".join(sections)).replace("localhost:5000", registry)
    scripts = f"{Path(sys.executable).parent}:{tool('skopeo').parent}"
    cached(tmp_path / "hub", {"m.gguf": model(), "README.md": b"# x\n"}, large=("m.gguf",))
    stored(tmp_path / "ollama", [("model", model()), ("params", b'{"temperature": 0.5}')])
    with hub() as running:
        running.commits = {"main": COMMIT}
        running.files = {f"{COMMIT}/m.gguf": model(), f"{COMMIT}/README.md": b"# x\n"}
        stores = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": running.endpoint, "OLLAMA_MODELS": str(tmp_path / "ollama")}
        typed(script, tmp_path, scripts, **stores)


def typed(script: str, tmp_path: Path, scripts: str, **variables: str) -> None:
    """Run ``script`` as a shell does in which somebody types it."""
    environment = os.environ | {
        **variables,
        "PATH": f"{scripts}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    with (tmp_path / "said").open("w+") as said:
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=environment, stdout=said, stderr=said, check=False, timeout=600
        )
        said.seek(0)
        assert done.returncode == 0, said.read()
