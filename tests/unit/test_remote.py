"""Objects on other machines: what servers do, and what may be read, shown and sent (spec/1, 10.12)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import llamafile_format as lf
from llamafile_format.cli.main import cli
from llamafile_format.errors import SourceError, UsageError
from llamafile_format.source import http_object
from llamafile_format.source.address import read_address, shown
from llamafile_format.source.opening import open_remote
from llamafile_format.source.traffic import LOOK, WHOLE, Limits, read_limits
from tests.fault_server import TOKEN, FaultServer
from tests.remote_samples import remote_container, server_certificate


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return remote_container(tmp_path_factory.mktemp("remote") / "model.llamafile")


@pytest.fixture
def server(sample: Path) -> Iterator[FaultServer]:
    with FaultServer(sample.read_bytes()) as running:
        yield running


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow one another at once."""
    monkeypatch.setattr(http_object, "_PAUSES", (0.0, 0.0, 0.01, 0.01, 0.01))


def verified(url: str, level: str = "full", **options: object) -> lf.Report:
    with open_remote(url, **options) as source:  # type: ignore[arg-type]
        return lf.verify(source, level=level)


def outcome(url: str, **options: object) -> str:
    """Empty if the object verifies; else why it was not read."""
    try:
        report = verified(url, **options)
    except SourceError as error:
        return error.message
    if report.complete:
        assert report.verdicts[lf.Layer.WELL_FORMED] is lf.Verdict.YES
        return ""
    assert lf.Verdict.YES not in report.verdicts.values()
    return report.error


SURVIVED = ["plain", "redirect", "flaky", "cut", "no-suffix", "weak", "no-tag", "no-length", "chunked", "redirect/cut"]
REFUSED = {
    "ignores": "does not serve ranges",
    "shifted": "is no part|asked for",
    "star": "does not say which",
    "no-range": "does not say which",
    "huge": "does not say which",
    "longer": "by one header",
    "longer-unsaid": "more bytes than it says",
    "gzip": "encoded body",
    "changing": "changed while it was read",
    "changing-size": "changed while it was read|asked for its end",
    "changing-time": "changed while it was read",
    "short": "given up after 5 tries: its answers break off",
    "down": "given up after 5 tries: 503",
    "loop": "redirected more than 5 times",
    "missing": "404",
    "refused": "403: SignatureDoesNotMatch",
    "locked": "401",
}


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("fault", SURVIVED)
def test_faults_that_are_survived(server: FaultServer, fault: str) -> None:
    assert outcome(server.url(fault)) == ""


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("fault", REFUSED)
def test_faults_that_are_refused(server: FaultServer, fault: str) -> None:
    import re

    why = outcome(server.url(fault) + "?sig=s3cret")
    assert re.search(REFUSED[fault], why), why
    assert server.url(fault) in why
    assert "s3cret" not in why


@pytest.mark.parametrize("fault", ["silent", "drip-headers", "drip"])
def test_a_server_that_holds_us_up_is_left(server: FaultServer, fault: str) -> None:
    why = outcome(server.url(fault), patience=0.2, limits=Limits(seconds=2))
    assert "limit of 2 seconds" in why or "given up" in why


def test_a_flipped_bit_is_found_by_digests_only(server: FaultServer) -> None:
    report = verified(server.url("flipped"))
    assert report.complete
    assert report.verdicts[lf.Layer.WELL_FORMED] is lf.Verdict.NO
    assert "LF4001" in {finding.rule for finding in report.findings}


def test_an_exchange_between_two_reads_is_refused(server: FaultServer, sample: Path) -> None:
    with open_remote(server.url()) as source:
        server.data = sample.read_bytes().replace(b"tiny", b"tinz")
        buffer = memoryview(bytearray(1 << 20))
        with pytest.raises(SourceError, match="changed while it was read"):
            source.read_into(0, buffer)


def test_an_address_that_ran_out_is_asked_for_again(server: FaultServer) -> None:
    with open_remote(server.url("redirect/expiring")) as source:
        buffer = memoryview(bytearray(1 << 20))
        source.read_into(0, buffer)
        assert source.read_at(source.size - 4, 4)
        assert lf.verify(source).complete
    assert server.seen["redirect"] > server.seen["redirect before it ran out"] > 0


def test_empty_object(tmp_path: Path) -> None:
    with FaultServer(b"") as server, open_remote(server.url()) as source:
        assert source.size == 0
        assert lf.verify(source).kind is lf.Kind.OTHER


@pytest.mark.parametrize("size", [1, 65535, 65536, 65537, 458752, 720896, 720897, 1500000])
def test_every_byte_is_the_objects(size: int) -> None:
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    with FaultServer(data) as server, open_remote(server.url()) as source:
        assert source.size == size
        places = [(at, min(length, size - at)) for at in (0, size // 3, size - 1) for length in (0, 1, 70_000, 3 << 19)]
        assert source.read_ranges(places) == [data[at : at + length] for at, length in places]
        assert [source.read_at(*place) for place in places] == [data[at : at + length] for at, length in places]
        for at, length in places:
            buffer = memoryview(bytearray(length))
            source.read_into(at, buffer)
            assert buffer == data[at : at + length]
        with pytest.raises(SourceError, match="leaves its"):
            source.read_at(size, 1)


def test_remote_and_local_agree(server: FaultServer, sample: Path) -> None:
    for level in ("quick", "full", "exhaustive"):
        local, remote = lf.verify(sample, level=level), verified(server.url(), level)
        assert remote.verdicts == local.verdicts
        assert remote.findings == local.findings
        assert remote.revision
        assert not local.revision


# Limits


def test_limits_end_in_nothing_that_is_yes(server: FaultServer) -> None:
    for name, few in (("requests", 3), ("bytes", 800_000), ("rounds", 1), ("seconds", 0)):
        why = outcome(server.url(), limits=read_limits((f"{name}={few}",), WHOLE))
        assert f"limit of {few} {name}" in why


def test_limits_are_read() -> None:
    assert read_limits(("requests=3,bytes=5", "seconds=1"), LOOK) == Limits(3, LOOK.rounds, 5, 1)
    for bad in (
        "requests",
        "requests=",
        "requests=-1",
        "requests=1e3",
        "files=3",
        "requests=\u0663",
        "bytes=" + "9" * 19,
    ):
        with pytest.raises(UsageError):
            read_limits((bad,), LOOK)


# Addresses and secrets


def test_what_is_shown_of_an_address() -> None:
    assert shown("https://user:pass@host:8/a/b?X-Sig=1#f") == "https://host:8/a/b"
    assert shown("https://a@b@host/x") == "https://host/x"
    assert shown("models/what?.llamafile") == "models/what?.llamafile"
    address = read_address("https://host/a?sig=s3cret#part")
    assert address.url == "https://host/a?sig=s3cret"
    assert "s3cret" not in repr(address)


@pytest.mark.parametrize(
    "text",
    [
        "ftp://host/x",
        "https://",
        "https:///x",
        "https://u:p@host/x",
        "https://host:99999/x",
        "https://host:0/x",
        "https://[::1/x",
        "https://host/a b",
        "https://host/\r\nX: y",
        "https://h\u00f6st/",
        "https://host/" + "a" * 9000,
    ],
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_address(text)
    assert "u:p" not in str(caught.value)


def test_a_token_goes_to_its_host_only(sample: Path) -> None:
    data = sample.read_bytes()
    with FaultServer(data) as first, FaultServer(data) as second:
        first.elsewhere = second.url()
        assert verified(first.url("locked"), token=TOKEN).complete
        assert first.tokens
        assert verified(first.url("away"), token=TOKEN).complete
        assert not second.tokens


def test_nothing_that_a_server_was_told_is_repeated(server: FaultServer) -> None:
    """A token came back as a code of an error, and a signature in its message."""
    why = outcome(server.url("echo") + "?sig=s3cret", token=TOKEN)
    assert why.endswith("the server says 403: AccessDenied")
    assert server.tokens == [f"Bearer {TOKEN}"] * len(server.tokens) != []


def test_tls_by_an_authority_that_is_named(sample: Path, tmp_path: Path) -> None:
    authority, served = server_certificate(tmp_path)
    data = sample.read_bytes()
    with FaultServer(data, certificate=served) as server:
        assert verified(server.url(), ca_file=str(authority)).complete
        with pytest.raises(SourceError, match="no trustworthy connection"):
            verified(server.url())
        with FaultServer(data) as plain:
            server.elsewhere = plain.url()
            with pytest.raises(SourceError, match="redirects from https to http"):
                verified(server.url("away"), ca_file=str(authority))
            assert not plain.requests
            plain.elsewhere = server.url()
            assert verified(plain.url("away"), ca_file=str(authority)).complete
    with pytest.raises(UsageError, match="no certificates"):
        verified("https://127.0.0.1:9/x", ca_file=str(tmp_path / "none.pem"))


def test_a_server_that_is_not_there(hasty: None) -> None:
    with FaultServer(b"") as server:
        url = server.url()
    with pytest.raises(SourceError, match=r"given up after 5 tries: no connection to 127\.0\.0\.1"):
        open_remote(url)


# Commands


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, [*arguments, "--no-config"] if arguments[0] == "verify" else list(arguments))
    error = result.exception
    if isinstance(error, lf.LlamafileError):
        return error.exit_code, result.stdout, str(error)
    return result.exit_code, result.stdout, result.stderr


def test_commands_read_addresses(server: FaultServer, sample: Path, tmp_path: Path) -> None:
    url = server.url() + "?sig=s3cret"
    code, out, _ = run("verify", url, "--format", "json")
    report = json.loads(out)
    assert (code, report["file"]["name"]) == (0, server.url())
    assert report["file"]["revision"]
    assert run("inspect", url, "--field", "file.size")[:2] == (0, f"{sample.stat().st_size}\n")
    assert run("diff", url, str(sample))[:2] == (0, "")
    assert server.url() in run("explain", url)[1]
    bills = [run("sbom", place, "--format", form) for place in (url, str(sample)) for form in ("cyclonedx", "spdx")]
    assert [code for code, _, _ in bills] == [0, 0, 0, 0]
    assert bills[:2] == bills[2:], "a bill is about the file and not about where it lies"
    assert "s3cret" not in bills[0][1]
    assert "F=$PWD/model.llamafile" in run("explain", url)[1]
    before = server.sent
    assert run("extract", url, "tiny.gguf", "-C", str(tmp_path))[0] == 0
    assert (tmp_path / "tiny.gguf").read_bytes()[:4] == b"GGUF"
    assert server.sent - before < 1 << 20, "extract reads the member and structure"
    code, out, _ = run("verify", url, server.url("missing"), "--level", "quick")
    assert code == 4
    assert "s3cret" not in out


def test_commands_refuse_what_makes_no_sense(
    server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    assert run("verify", server.url("locked"), "--token-file", str(token))[0] == 0
    assert run("verify", server.url("locked"))[0] == 4
    monkeypatch.setenv("LFF_TOKEN", TOKEN)
    assert run("verify", server.url("locked"))[0] == 2  # whose token is it?
    monkeypatch.setenv("LFF_TOKEN_HOST", "example.org")
    assert run("verify", server.url("locked"))[0] == 4
    monkeypatch.setenv("LFF_TOKEN_HOST", "127.0.0.1")
    assert run("verify", server.url("locked"))[0] == 0
    monkeypatch.delenv("LFF_TOKEN")
    asked = server.requests
    for wrong in (
        ["verify", server.url(), "--limit", "files=3"],
        ["verify", "http://example.org/x", "--token-file", str(token)],
        ["verify", server.url(), "http://localhost:1/x", "--token-file", str(token)],
        ["verify", server.url(), "--token-file", str(tmp_path / "none")],
        ["verify", server.url(), "--try"],
        ["verify", server.url(), "https://user:pw@example.org/x"],
        ["inspect", "nosuch://example.org/x"],
        ["diff", server.url(), "https://"],
    ):
        code, out, error = run(*wrong)
        assert code == 2, (wrong, out, error)
        assert "pw" not in error.replace("PWD", "")
    assert server.requests == asked, "what makes no sense is found before anything is asked for"
    assert run("verify", server.url(), "--limit", "requests=1")[0] == 4
