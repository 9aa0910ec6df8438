"""The commands of docs/hub.md on objects elsewhere, typed as printed, on every scheme; and a gate before a store."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.source.store_object import listed
from tests.conftest import CliRunner, ToolFinder
from tests.gate_service import configure, gate
from tests.laws.containers import small_container
from tests.nginx_server import serving
from tests.object_stores import BUCKET, KEY, SECRET, Store, clouds, hub, seaweed
from tests.remote_samples import server_certificate

pytestmark = [pytest.mark.slow, pytest.mark.interop]

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "hub.md").read_text("utf-8")
COMMANDS = re.findall(r"^llamafile-format (.*ADDRESS.*)$", PAGE, re.MULTILINE)
COMMIT = "c" * 40


@dataclass(frozen=True)
class Place:
    """Where the sample lies, and what is set to reach it."""

    address: str
    settings: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's ``upload.llamafile``, and what it was made of beside it."""
    folder = tmp_path_factory.mktemp("page")
    exhibit = Path(__file__).resolve().parents[2] / "examples" / "exhibit"
    (folder / "model.gguf").write_bytes((exhibit / "exhibit-q8_0.gguf").read_bytes())
    files = [folder / "model.gguf", exhibit / "LICENSE.txt"]
    return lf.pack(files, folder / "upload.llamafile", prefix="none", license="CC0-1.0").path


@pytest.fixture(scope="module")
def store(tool: ToolFinder, tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Iterator[Store]:
    with seaweed(tool("weed"), tmp_path_factory.mktemp("weed")) as running:
        running.put("models/model.llamafile", sample.read_bytes())
        yield running


@pytest.fixture(params=["https", "s3", "gs", "az", "hf"])
def place(request: pytest.FixtureRequest, tool: ToolFinder, tmp_path: Path, sample: Path) -> Iterator[Place]:
    """The sample on a server for each scheme."""
    with ExitStack() as servers:
        if request.param == "https":
            authority, certificate = server_certificate(tmp_path)
            nginx = servers.enter_context(serving(tool("nginx"), tmp_path / "nginx", certificate))
            os.link(sample, nginx.root / "model.llamafile")
            yield Place(nginx.url("model.llamafile"), options=("--ca-file", str(authority)))
        elif request.param == "s3":
            settings = request.getfixturevalue("store").settings
            yield Place(f"s3://{BUCKET}/models/model.llamafile", settings)
        elif request.param == "hf":
            there = servers.enter_context(hub())
            there.commits, there.files = {"main": COMMIT}, {f"{COMMIT}/model.llamafile": sample.read_bytes()}
            yield Place("hf://org/name/model.llamafile", {"HF_ENDPOINT": there.endpoint})
        else:
            at = servers.enter_context(clouds({"models/model.llamafile": sample.read_bytes()}))
            yield Place(f"{request.param}://{BUCKET}/models/model.llamafile", CLOUDS[request.param](at))


CLOUDS = {
    "gs": lambda at: {"GOOGLE_BASE_URL": at},
    "az": lambda at: {"AZURE_STORAGE_ENDPOINT": at, "AZURE_STORAGE_ACCOUNT_NAME": "account"},
}


def test_every_command_that_reads_is_on_the_page() -> None:
    assert {command.split()[0] for command in COMMANDS} == {
        *("verify", "inspect", "identify", "explain", "sbom", "diff", "extract")
    }


def test_commands_on_objects_elsewhere(place: Place, sample: Path, tmp_path: Path, run_cli: CliRunner) -> None:
    said = {}
    for command in COMMANDS:
        words = shlex.split(command.replace("ADDRESS", place.address).replace("taken", str(tmp_path / "taken")))
        words = [str(sample) if word == sample.name else word for word in words]
        done = run_cli(*words, *place.options, env=place.settings)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        said[words[0]] = done.stdout
        if "sarif" in words:
            assert json.loads(done.stdout)["version"] == "2.1.0"
    assert (tmp_path / "taken" / "model.gguf").read_bytes() == (sample.parent / "model.gguf").read_bytes()
    assert said["diff"] == ""
    assert json.loads(said["sbom"])["bomFormat"] == "CycloneDX"
    assert "llamafile" in said["identify"]
    assert SECRET not in "".join(said.values())


@pytest.mark.parametrize("scheme", CLOUDS)
def test_what_clouds_list(scheme: str, tmp_path: Path, run_cli: CliRunner) -> None:
    data = small_container(tmp_path).read_bytes()
    files = {"models/a.llamafile": data, "models/deep/b.llamafile": data, "models/readme": b"x", "other/c": b"y"}
    with clouds(files) as at:
        settings = CLOUDS[scheme](at)
        found = {name: size for name, version, size in listed(f"{scheme}://{BUCKET}/models/", settings) if version}
        assert found == {f"{scheme}://{BUCKET}/{key}": len(files[key]) for key in sorted(files) if key[0] == "m"}
        command = ("fleet", "verify", f"{scheme}://{BUCKET}/models/", "--ledger", tmp_path / "L", "--workers", "1")
        first = run_cli(*command, "--level", "quick", env=settings, timeout=600)
        assert first.returncode == 0, first.stderr
        assert "3 objects: 2 undetermined, 1 passed over" in first.stdout


def test_a_gate_before_a_store(store: Store, tmp_path: Path) -> None:
    """Objects of a bucket on its list, by the gate's own keys; of no other bucket, and of nothing that is not there."""
    secrets = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    for name, value in secrets.items():
        (tmp_path / name).write_text(value)
        (tmp_path / name).chmod(0o600)
    settings = {"AWS_ENDPOINT_URL": store.endpoint, "AWS_REGION": "us-east-1"}
    bucket = {"bucket": f"s3://{BUCKET}", "settings": settings, "secret_files": {name: name for name in secrets}}
    config = configure(tmp_path, references={"buckets": [bucket], "allow_private": ["127.0.0.0/8"]})
    with gate(config) as running:
        done = running.ended(running.json("/v1/jobs", {"url": f"s3://{BUCKET}/models/model.llamafile"})["id"])
        report = running.json(done["report"])
        assert (done["status"], set(done["verdicts"].values())) == ("safe", {"yes"}), report["error"]
        assert report["file"]["revision"]
        missing = running.ended(running.json("/v1/jobs", {"url": f"s3://{BUCKET}/models/none"})["id"])
        assert missing["status"] == "error"
        body = json.dumps({"url": "s3://another/models/model.llamafile"}).encode()
        assert running.ask("/v1/jobs", body, Content_Type="application/json")[0] == 403
        state = [*(tmp_path / "state").rglob("*"), running.log]
        assert not [path for path in state if path.is_file() and SECRET.encode() in path.read_bytes()]
