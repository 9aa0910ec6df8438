"""A container in a registry: what is sent and fetched, who hears of credentials, and what a hostile one gets."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import llamafile_format as lf
from llamafile_format.cli.main import cli
from llamafile_format.errors import FormatError, LimitExceeded, LlamafileError, SourceError, UsageError
from llamafile_format.exchanging import (
    Terms,
    Upload,
    dialogue,
    read_reference,
    send,
    upload,
)
from llamafile_format.exchanging.challenge import may_know, read_challenge
from llamafile_format.exchanging.credentials import find_login
from llamafile_format.manifest.model import CHUNKS_PATH
from llamafile_format.output import resumable
from llamafile_format.source.address import read_address
from tests.exchange_samples import KINDS, PACK, model, odd_members, plain, signed_by_three
from tests.registry_client import pulled, pushed
from tests.registry_server import PASSWORD, TOKEN, USER, RegistryServer
from tests.remote_samples import server_certificate
from tests.repack_samples import legacy

Cli = Callable[..., "CompletedProcess[str]"]
BASIC = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow one another at once."""
    monkeypatch.setattr(dialogue, "PAUSES", (0.0, 0.0, 0.01, 0.01, 0.01))


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    """A registry that lets everybody in."""
    with RegistryServer() as running:
        yield running


def docker_config(path: Path, host: str, **more: object) -> Path:
    coded = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    path.write_text(json.dumps({"auths": {host: {"auth": coded}}, **more}))
    return path


# What is sent and fetched.


@pytest.mark.parametrize("referrers", [True, False], ids=["interface", "fallback tag"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_back_bit_for_bit(kind: str, referrers: bool, tmp_path: Path) -> None:
    file = KINDS[kind](tmp_path / "a.llamafile")
    with RegistryServer(referrers=referrers) as server:
        first = pushed(file, server)
        taken = pulled(server, tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == file.read_bytes()
        assert (taken.restored, taken.notes, taken.records) == (True, (), first.records)
        by_digest = pulled(server, tmp_path / "other", f"models/tiny@{first.digest}")
        assert by_digest.digest == first.digest
        assert (f"models/tiny:sha256-{first.digest[7:]}" in server.manifests) == (not referrers and first.records > 0)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.endswith(".partial")) == []


def test_only_what_is_missing_is_sent(server: RegistryServer, tmp_path: Path) -> None:
    file = signed_by_three(tmp_path / "a")
    assert pushed(file, server).sent > 0
    received = server.received
    assert pushed(file, server, "models/tiny:v2").sent == 0
    assert server.received - received < 1 << 14  # manifests
    assert pushed(file, server, "other/tiny:v1", also="models/tiny").sent == 0
    assert server.count("POST", "mount=sha256") > 5
    assert pushed(file, server, "third/tiny:v1").sent > 0  # nobody said where the registry might have it


def test_a_new_record_is_added_to_the_list(tmp_path: Path) -> None:
    file = KINDS["plain"](tmp_path / "a")
    with RegistryServer(referrers=False) as server:
        pushed(file, server)
        signed = signed_by_three(tmp_path / "b")
        assert pushed(signed, server).records == 3
        count = server.count("PUT", "manifests/sha256-")
        pushed(signed, server)
        assert server.count("PUT", "manifests/sha256-") == count == 1  # nothing new, nothing written
        assert pulled(server, tmp_path / "out").records == 3


def test_large_blobs_go_in_pieces_that_are_gone_on_with(
    server: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "PIECE", 1 << 20)
    file = odd_members(tmp_path / "a")
    server.faults.cut_upload = 2
    pushed(file, server)
    assert server.count("PATCH") >= 5
    assert server.count("GET", "uploads") == 2  # how far has it come?
    assert server.received < file.stat().st_size + (1 << 19)  # nothing twice
    pulled(server, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == file.read_bytes()


def test_a_blob_is_gone_on_with_where_the_line_breaks(server: RegistryServer, tmp_path: Path) -> None:
    file = odd_members(tmp_path / "a")
    pushed(file, server)
    server.faults.cut, before = 3, server.sent
    pulled(server, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == file.read_bytes()
    assert server.sent - before < file.stat().st_size + (1 << 16)
    server.faults.cut, server.faults.no_ranges = 3, True  # the whole again: what is in front is skipped
    pulled(server, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == file.read_bytes()


def test_a_busy_registry_is_asked_again(server: RegistryServer, tmp_path: Path) -> None:
    file = plain(tmp_path / "a")
    server.faults.busy = 3
    pushed(file, server)
    server.faults.busy = 3
    pulled(server, tmp_path / "out")
    server.faults.busy = 99
    with pytest.raises(SourceError, match="given up after 5 tries: 503"):
        pulled(server, tmp_path / "other")


def test_an_ended_pull_is_gone_on_with(server: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable, "_UNDER_WAY", 0)
    file = odd_members(tmp_path / "a")
    pushed(file, server)
    server.faults.gone = 9 << 19
    with pytest.raises(SourceError) as caught:
        pulled(server, tmp_path / "out")
    assert "goes on with what has come" in caught.value.hint
    (left,) = tmp_path.glob(".out.*.partial")
    have, before = left.stat().st_size, server.sent
    server.faults.gone = None
    assert have >= 4 << 20
    pulled(server, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == file.read_bytes()
    assert server.sent - before < file.stat().st_size - have + (1 << 16)
    assert list(tmp_path.glob(".out.*.partial")) == []


def test_what_lies_there_is_not_believed(
    server: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither wrong bytes under the name of an unfinished file, nor a link, nor another's file."""
    monkeypatch.setattr(resumable, "_UNDER_WAY", 0)
    file = odd_members(tmp_path / "a")
    pushed(file, server)
    with lf.open(file) as found:
        key = hashlib.sha256(hashlib.sha256(found.manifest_bytes).hexdigest().encode()).hexdigest()[:12]
    left, victim = tmp_path / f".out.{key}.partial", tmp_path / "victim"
    left.write_bytes(os.urandom(6 << 20))
    pulled(server, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == file.read_bytes()
    for make in (left.symlink_to, left.hardlink_to):
        victim.write_bytes(b"precious")
        (tmp_path / "out").unlink()
        left.unlink(missing_ok=True)
        make(victim)
        pulled(server, tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == file.read_bytes()
        assert victim.read_bytes() == b"precious"


def test_others_models_are_packed(server: RegistryServer, tmp_path: Path) -> None:
    _foreign(server, [(f"{PACK}weight.v1.raw", "m.gguf", model()), (f"{PACK}doc.v1.raw", "README.md", b"# x\n")])
    taken = pulled(server, tmp_path / "out", "foreign")
    assert not taken.restored
    with lf.open(tmp_path / "out") as found:
        assert {"m.gguf", "README.md"} <= {each.path for each in found.members}


def _foreign(server: RegistryServer, layers: list[tuple[str, str, bytes]], **more: object) -> None:
    def blob(data: bytes) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        server.blobs[digest] = data
        return {"digest": digest, "size": len(data)}

    rows = [
        {"mediaType": kind, **blob(data), "annotations": {"org.cncf.model.filepath": name}}
        for kind, name, data in layers
    ]
    image = {
        "schemaVersion": 2,
        "config": {"mediaType": f"{PACK}config.v1+json", **blob(b"{}")},
        "layers": rows,
        **more,
    }
    kind = "application/vnd.oci.image.manifest.v1+json"
    server.manifests["foreign:latest"] = (kind, json.dumps(image).encode())


# Hostile files and registries.


def test_a_layer_larger_than_the_disk_is_not_begun(
    server: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llamafile_format.output.room._kind", lambda _: "ext4")
    _foreign(server, [(f"{PACK}weight.v1.raw", "m.gguf", model())])
    kind, data = server.manifests["foreign:latest"]
    image = json.loads(data)
    image["layers"][0]["size"] = 1 << 60
    server.manifests["foreign:latest"] = (kind, json.dumps(image).encode())
    before = server.sent
    with pytest.raises(SourceError, match="no space left"):
        pulled(server, tmp_path / "out", "foreign")
    assert server.sent - before < 1 << 20
    assert list(tmp_path.iterdir()) == []


def test_damage_is_not_sent(server: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "PIECE", 1 << 20)
    file = odd_members(tmp_path / "a")
    data = bytearray(file.read_bytes())
    with lf.open(file) as found:
        data[found.entry("m.gguf").data_offset + (4 << 20)] ^= 1
    file.write_bytes(data)
    with pytest.raises(FormatError, match=r"was not sent"):
        pushed(file, server)
    assert server.asked == []  # nobody was asked
    monkeypatch.setattr(
        importlib.import_module(send.__module__), "admit", lambda *_: None
    )  # it changes when it was judged
    with pytest.raises(FormatError, match=r"m\.gguf is damaged"):
        pushed(file, server)
    assert server.blobs == {}
    assert server.manifests == {}
    assert server.count("DELETE") == 1  # the registry may forget what it got


def test_another_digest_ends_it_and_leaves_nothing(server: RegistryServer, tmp_path: Path) -> None:
    file = signed_by_three(tmp_path / "a")
    sent = pushed(file, server)
    image = json.loads(server.manifests[sent.digest][1])
    for layer in image["layers"]:
        if layer["annotations"]["org.cncf.model.filepath"] == CHUNKS_PATH:
            continue  # it is made anew
        right = server.blobs[layer["digest"]]
        for bad in (right[:-1] + bytes([right[-1] ^ 1]), right + b"x", right[:-1]):
            server.faults.wrong = {layer["digest"]: bad}
            with pytest.raises(FormatError):
                pulled(server, tmp_path / "out")
            assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_manifest_of_another_digest_is_refused(server: RegistryServer, tmp_path: Path) -> None:
    sent = pushed(plain(tmp_path / "a"), server)
    kind, data = server.manifests[sent.digest]
    server.manifests[sent.digest] = (kind, data + b" ")
    with pytest.raises(FormatError, match="another digest than its name"):
        pulled(server, tmp_path / "out", f"models/tiny@{sent.digest}")


def test_bounds(server: RegistryServer, tmp_path: Path) -> None:
    _foreign(server, [(f"{PACK}doc.v1.raw", "a", b"a")] * 10_001)
    with pytest.raises(LimitExceeded, match=r"too large|too many entries"):
        pulled(server, tmp_path / "out", "foreign")
    server.faults.huge = True
    with pytest.raises(LimitExceeded, match="too large"):
        pulled(server, tmp_path / "out", "foreign")


def test_urls_are_ignored_and_other_digests_refused(server: RegistryServer, tmp_path: Path) -> None:
    with RegistryServer() as other:
        _foreign(server, [(f"{PACK}weight.v1.raw", "m.gguf", model())])
        kind, data = server.manifests["foreign:latest"]
        image = json.loads(data)
        image["layers"][0]["urls"] = [f"{other.url}/m.gguf"]
        server.manifests["foreign:latest"] = (kind, json.dumps(image).encode())
        pulled(server, tmp_path / "out", "foreign")
        assert other.asked == []
        for digest in ("sha512:" + "a" * 128, "sha256:" + "A" * 64, "sha256:../../" + "a" * 58, 7):
            image["layers"][0]["digest"] = digest
            server.manifests["foreign:latest"] = (kind, json.dumps(image).encode())
            with pytest.raises(FormatError, match="no digest of the form"):
                pulled(server, tmp_path / "other", "foreign")


def test_records_that_are_missing_or_strange_are_said(server: RegistryServer, tmp_path: Path) -> None:
    file = signed_by_three(tmp_path / "a")
    sent = pushed(file, server)
    listed = {
        json.loads(data)["annotations"]["org.llamafile.record.number"]: name
        for name, (_, data) in server.manifests.items()
        if name.startswith("sha256:") and "subject" in json.loads(data)
    }
    del server.manifests[listed["0002"]]
    strange = {"schemaVersion": 2, "artifactType": "application/x-strange", "config": {}, "layers": []}
    strange["subject"] = {"mediaType": "x", "digest": sent.digest, "size": 1}
    server.manifests["sha256:" + "0" * 64] = ("x", json.dumps(strange).encode())
    taken = pulled(server, tmp_path / "out")
    assert taken.records == 1
    assert any("0002 is missing" in note for note in taken.notes)
    assert any("application/x-strange" in note for note in taken.notes)


def test_a_list_of_referrers_in_pages(server: RegistryServer, tmp_path: Path) -> None:
    file = signed_by_three(tmp_path / "a")
    sent = pushed(file, server)
    server.faults.link = f"/v2/models/tiny/referrers/{sent.digest}?page=2"
    assert pulled(server, tmp_path / "out").records == 3
    with RegistryServer() as other:
        server.faults.link = f"{other.url}/v2/models/tiny/referrers/{sent.digest}?page=2"
        with pytest.raises(SourceError, match=r"not https|another host"):
            pulled(server, tmp_path / "other")
        assert other.asked == []


def test_a_legacy_file_is_refused_before_anybody_is_asked(server: RegistryServer, tmp_path: Path, run_cli: Cli) -> None:
    (tmp_path / "old").write_bytes(legacy(b"#!/bin/sh\n" + bytes(4096), [("m.gguf", model())]))
    done = run_cli("push", "old", f"{server.host}/old")
    assert done.returncode == 2
    assert "llamafile-format repack old -o" in done.stderr
    assert server.asked == []


# Credentials.


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_the_registry_gets_its_credentials(auth: str, tmp_path: Path) -> None:
    file = plain(tmp_path / "a")
    with RegistryServer(auth=auth) as server:
        config = docker_config(tmp_path / "config.json", server.host)
        pushed(file, server, config=config)
        pulled(server, tmp_path / "out", config=config)
        assert server.told() == ({BASIC} if auth == "basic" else {BASIC, f"Bearer {TOKEN}"})
        if auth == "bearer":
            asked = [path for _, path, _ in server.asked if path.startswith("/token")]
            assert "scope=repository%3Amodels%2Ftiny%3Apull%2Cpush" in asked[0]
            assert "scope=repository%3Amodels%2Ftiny%3Apull" in asked[1]
            assert "all" not in asked[0]  # what it would have liked
            assert {said for _, path, said in server.asked if path.startswith("/token")} == {BASIC}


def test_nobody_is_told_unasked(server: RegistryServer, tmp_path: Path) -> None:
    config = docker_config(tmp_path / "config.json", server.host)
    pushed(plain(tmp_path / "a"), server, config=config)
    pulled(server, tmp_path / "out", config=config)
    assert server.told() == set()


def test_credentials_of_others_are_not_taken(tmp_path: Path) -> None:
    with RegistryServer(auth="basic") as server:
        for host in ("127.0.0.1", "127.0.0.1:1", f"{server.host}0", "registry.example"):
            config = docker_config(tmp_path / "config.json", host)
            with pytest.raises(SourceError, match="the registry says 401") as caught:
                pushed(_once(tmp_path), server, config=config)
            assert "docker login" in caught.value.hint
        assert server.told() == set()


def _once(tmp_path: Path) -> Path:
    return tmp_path / "a" if (tmp_path / "a").exists() else plain(tmp_path / "a")


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[str, RegistryServer, RegistryServer]]:
    """Certificates, a registry over TLS, and another one that it may send us to."""
    authority, served = server_certificate(tmp_path)
    with (
        RegistryServer(auth="bearer", certificate=served) as home,
        RegistryServer(certificate=served) as away,
    ):
        yield str(authority), home, away


@pytest.mark.parametrize("what", ["blobs_at", "uploads_at"])
def test_no_credentials_go_elsewhere(
    what: str, tls: tuple[str, RegistryServer, RegistryServer], tmp_path: Path
) -> None:
    ca_file, home, away = tls
    terms = {"config": docker_config(tmp_path / "config.json", home.host), "ca_file": ca_file}
    file = plain(tmp_path / "a")
    if what == "uploads_at":
        home.faults.uploads_at = away.url
        pushed(file, home, **terms)  # the blobs are at the other one now
        assert away.blobs
        assert not home.blobs
    else:
        pushed(file, home, **terms)
        away.blobs, away.repositories = home.blobs, home.repositories
        home.faults.blobs_at = away.url
        pulled(home, tmp_path / "out", **terms)
        assert (tmp_path / "out").read_bytes() == file.read_bytes()
    assert away.asked
    assert away.told() == set()
    assert home.told() == {BASIC, f"Bearer {TOKEN}"}


def test_a_redirect_to_the_registry_itself_has_no_credentials_either(tmp_path: Path) -> None:
    with RegistryServer(auth="basic") as server:
        config = docker_config(tmp_path / "config.json", server.host)
        pushed(plain(tmp_path / "a"), server, config=config)
        server.faults.blobs_at = "/moved"
        with pytest.raises(LlamafileError):
            pulled(server, tmp_path / "out", config=config)
        assert {said for _, path, said in server.asked if path.startswith("/moved")} == {""}


def test_a_realm_elsewhere_is_asked_without_credentials(
    tls: tuple[str, RegistryServer, RegistryServer], tmp_path: Path
) -> None:
    """Another name of the same machine is another host."""
    home = read_address("https://registry.example/v2/")
    assert may_know(read_address("https://registry.example/token"), home)
    assert may_know(read_address("https://registry.example:8443/token"), home)
    for other in ("https://auth.registry.example/token", "https://registry.example.evil.example/", "https://example/"):
        assert not may_know(read_address(other), home)
    for other in ("http://registry.example/token", "http://127.0.0.1/token", "ftp://x/", "", "s3://bucket/key"):
        with pytest.raises(SourceError):
            read_challenge(f'Bearer realm="{other}",service="x"', home)
    plain_home = read_address("http://registry.example/v2/")
    with pytest.raises(SourceError, match="not https"):
        read_challenge('Bearer realm="http://registry.example/token"', plain_home)


def test_no_credentials_without_tls(tmp_path: Path) -> None:
    with dialogue.Dialogue(read_reference("registry.example/x"), Terms(plain=True)) as talk:
        assert talk.home.url == "http://registry.example/v2/"
        assert not talk.home.private
        talk._authorization = BASIC
        seen: list[dict[str, str]] = []

        class Nobody:
            def ask(self, _method: str, _at: object, headers: dict[str, str], _body: object = None) -> object:
                seen.append(headers)
                raise SourceError("nobody is there")

            def close(self) -> None:
                pass

        talk._rooms[talk.home.origin] = Nobody()  # type: ignore[assignment]
        with pytest.raises(SourceError, match="nobody is there"):
            talk.ask("GET", talk.at("manifests/latest"))
        assert "Authorization" not in seen[0]
        assert talk._own_login() is None


def test_https_unless_it_is_this_machine_or_said() -> None:
    for text, terms, url in (
        ("registry.example/x", Terms(), "https://registry.example/v2/"),
        ("registry.example:5000/x", Terms(), "https://registry.example:5000/v2/"),
        ("registry.example/x", Terms(plain=True), "http://registry.example/v2/"),
        ("localhost:5000/x", Terms(), "http://localhost:5000/v2/"),
        ("127.0.0.1:5000/x", Terms(), "http://127.0.0.1:5000/v2/"),
        ("[::1]:5000/x", Terms(), "http://[::1]:5000/v2/"),
        ("127.0.0.1.example:5000/x", Terms(), "https://127.0.0.1.example:5000/v2/"),
        ("10.0.0.1:5000/x", Terms(), "https://10.0.0.1:5000/v2/"),
    ):
        with dialogue.Dialogue(read_reference(text), terms) as talk:
            assert talk.home.url == url


def test_elsewhere_is_https_and_no_private_network(monkeypatch: pytest.MonkeyPatch) -> None:
    with dialogue.Dialogue(read_reference("registry.example/x"), Terms()) as talk:
        for place in ("http://other.example/x", "ftp://other.example/x", "https://u:p@other.example/x"):
            with pytest.raises(SourceError):
                talk.led(talk.home, place)
        monkeypatch.setattr(
            dialogue, "system_resolver", lambda host, _: ["8.8.8.8" if host == "registry.example" else host]
        )
        for machine in ("127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]"):
            at = talk.led(talk.home, f"https://{machine}/x")
            with pytest.raises(SourceError, match="strangers do not get to"):
                talk._room(at).ask("GET", at, {})


def test_secrets_are_in_no_message(tmp_path: Path, run_cli: Cli) -> None:
    """Neither ours nor those in the registry's addresses, though it says them back to us."""
    plain(tmp_path / "a")
    (tmp_path / "docker").mkdir()
    with RegistryServer(auth="bearer") as server:
        docker_config(tmp_path / "docker" / "config.json", server.host)
        env = {"DOCKER_CONFIG": str(tmp_path / "docker")}
        server.faults.uploads_at = "http://127.0.0.2:1"
        said = [run_cli("push", "a", f"{server.host}/x", env=env)]
        server.auth = "basic"
        docker_config(tmp_path / "docker" / "config.json", server.host, credHelpers={server.host: "absent-one"})
        said.append(run_cli("push", "a", f"{server.host}/x", env=env))
        for done in said:
            assert done.returncode == 4
            for secret in (PASSWORD, TOKEN, BASIC[6:], "s3cret-state"):
                assert secret not in done.stdout + done.stderr


def helper(folder: Path, script: str, name: str = "ours") -> None:
    folder.mkdir(exist_ok=True)
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"credHelpers": {"a.example:5000": "ours"}, "credsStore": "store"}))
    answer = json.dumps({"ServerURL": "x", "Username": USER, "Secret": PASSWORD})
    helper(tmp_path / "bin", f"""read host; test "$1 $host" = "get a.example:5000" && echo '{answer}'""")
    helper(tmp_path / "bin", "echo credentials not found in native keychain; exit 1", "store")
    found = find_login("a.example:5000", config)
    assert found is not None
    assert found.basic == BASIC
    assert PASSWORD not in repr(found)
    assert find_login("b.example", config) is None
    for script, words in (
        (f"echo {PASSWORD}; exit 3", "exit code 3"),
        (f"echo '{PASSWORD}'", "something else"),
        ("echo '{}'", "something else"),
        ("head -c 100000 /dev/zero", "failed"),
    ):
        helper(tmp_path / "bin", script)
        with pytest.raises(SourceError, match=words) as caught:
            find_login("a.example:5000", config)
        assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("name", ["../evil", "a/b", "a b", "", "a;b", "a\n", "é"])
def test_names_of_helpers(name: str, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"credHelpers": {"a.example": name}}))
    with pytest.raises(UsageError, match="helper that is none"):
        find_login("a.example", config)


def test_configurations(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    assert find_login("a.example", config) is None
    coded = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    for key in ("a.example", "https://a.example", "https://a.example/v2/", "A.example/"):
        config.write_text(json.dumps({"auths": {key: {"auth": coded}}}))
        found = find_login("a.example", config)
        assert found is not None
        assert found.basic == BASIC
    config.write_text(json.dumps({"auths": {"a.example": {"identitytoken": "refresh"}}}))
    found = find_login("a.example", config)
    assert found is not None
    assert found.identity == "refresh"
    config.write_text(json.dumps({"auths": {"a.example": {}}}))
    assert find_login("a.example", config) is None
    for text in (
        "[]",
        "{",
        json.dumps({"auths": {"a.example": {"auth": "%"}}}),
        '{"auths": {"a.example": {"auth": "YQ=="}}}',
    ):
        config.write_text(text)
        with pytest.raises(UsageError) as caught:
            find_login("a.example", config)
        assert "YQ==" not in str(caught.value)


# Names.


@pytest.mark.parametrize(
    "text",
    [
        "registry.example/a/b-c__d.e:v1",
        "registry.example:5000/a",
        "localhost/a",
        "127.0.0.1:5000/a@sha256:" + "a" * 64,
        "[::1]:5000/a:V_1.x-",
        "registry.example/a:v1@sha256:" + "b" * 64,
    ],
)
def test_names_of_images(text: str) -> None:
    found = read_reference(text)
    assert str(found) == (text if ":v" in text or "@" in text or "V_" in text else f"{text}:latest")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a/b",
        "docker.io/a/b",
        "registry.example",
        "registry.example/",
        "registry.example/A",
        "registry.example/a//b",
        "registry.example/a/",
        "registry.example/../a",
        "registry.example/a..b",
        "registry.example/a___b",
        "registry.example/-a",
        "registry.example/a:",
        "registry.example/a:-",
        "registry.example/a:" + "t" * 129,
        "registry.example/a@sha256:" + "A" * 64,
        "registry.example/a@sha512:" + "a" * 128,
        "registry.example/a@",
        "registry.example/" + "a" * 250,
        "registry.example/a?x=y",
        "registry.example/a#b",
        "registry.example/a b",
        "registry.example/a\n",
        "user@registry.example/a",
        "https://registry.example/a",
        "registry.example:99999/a",
        "registry.example:0/a",
        "0x7f.1/a",
        "127.1/a",
        "regístry.example/a",
        "registry..example/a",
    ],
)
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        read_reference(text)


def test_what_is_sent_has_no_digest_in_its_name() -> None:
    with pytest.raises(UsageError, match="its digest follows"):
        Upload(read_reference("registry.example/a@sha256:" + "a" * 64), Terms())


# Commands.


def test_commands(server: RegistryServer, tmp_path: Path, run_cli: Cli) -> None:
    signed_by_three(tmp_path / "a.llamafile")
    done = run_cli("push", "a.llamafile", f"{server.host}/models/tiny:v1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["records"] == 3
    done = run_cli("pull", f"{server.host}/models/tiny:v1", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_bytes() == (tmp_path / "a.llamafile").read_bytes()
    for words, error in (
        (["pull", f"{server.host}/models/tiny:v1", "-o", str(tmp_path / "out")], "exists"),
        (["pull", f"{server.host}/models/tiny:v2", "-o", str(tmp_path / "other")], "no such image"),
        (["pull", f"{server.host}/models/tiny:v1", "-o", str(tmp_path / "other"), "--runtime", "none"], "leave out"),
        (["push", str(tmp_path / "a.llamafile"), "tiny"], "names no image"),
    ):
        with pytest.raises(LlamafileError) as caught:
            cli.main(words, standalone_mode=False)
        assert error in f"{caught.value} {caught.value.hint}"
