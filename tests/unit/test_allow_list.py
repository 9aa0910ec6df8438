"""Addresses that strangers name: whom they make us ask, and whom never (spec/1, 10.13.3)."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llamafile_format as lf
from llamafile_format.errors import SourceError, UsageError
from llamafile_format.source import allow_list
from llamafile_format.source.address import read_address
from llamafile_format.source.allow_list import AllowList, Listed, NotListed, is_plain_host, server_of
from llamafile_format.source.answers import Passing
from llamafile_format.source.opening import open_listed
from llamafile_format.source.public_places import refusal
from tests.fault_server import TOKEN, FaultServer
from tests.remote_samples import remote_container, server_certificate

NAME = "models.test"
NEVER = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "100::1",
    "2001::1",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2620:4f:8000::5efe:7f00:1",
    "2a00::200:5efe:a00:1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2a00::1%eth0",
    "fec0::1",
    "ff02::1",
    "",
    "2130706433",
    "0177.0.0.1",
    "127.1",
    "no machine",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.32.0.1", "192.0.1.1", "169.253.0.1", "2a00::1"]


@pytest.mark.parametrize("machine", NEVER)
def test_no_stranger_gets_there(machine: str) -> None:
    assert refusal(machine)
    with pytest.raises(NotListed) as refused:
        Listed(frozenset({(NAME, 443)}), (), lambda host, port: ["8.8.8.8", machine]).places(NAME, 443)
    assert not machine or machine not in str(refused.value), "what a name of the inside stands for is not told"


@pytest.mark.parametrize("machine", PUBLIC)
def test_everybody_gets_there(machine: str) -> None:
    assert refusal(machine) == ""
    found = Listed(frozenset({(NAME, 443)}), (), lambda host, port: [machine]).places(NAME, 443)
    assert [(place.machine, place.port) for place in found] == [(machine, 443)]


@given(st.ip_addresses())
def test_what_is_public_is_global_and_what_is_private_is_not(machine: ipaddress.IPv4Address) -> None:
    """Ours is at least as strict as Python's, but for what its releases disagree about."""
    if not refusal(str(machine)):
        known = ("private", "loopback", "link_local", "multicast", "reserved", "unspecified")
        assert not [name for name in known if getattr(machine, f"is_{name}")]


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:0:0", "64:ff9b::", "::", "2002::", "64:ff9b:1::"]))
def test_no_older_address_gets_through_inside_a_newer_one(old: ipaddress.IPv4Address, prefix: str) -> None:
    shift = 80 if prefix == "2002::" else 0
    assert refusal(str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | int(old) << shift)))


def test_a_network_that_is_listed_counts_as_public() -> None:
    allowed = AllowList.of([NAME], allow_private=["127.0.0.0/8", "fd00::/8"]).private
    assert [refusal(machine, allowed) for machine in ("127.0.0.1", "fd00::1")] == ["", ""]
    assert all(refusal(machine, allowed) for machine in ("::ffff:127.0.0.1", "10.0.0.1", "fe80::1", "::1"))


LISTED = AllowList.of(
    [NAME, f"{NAME}:8443", "9.9.9.9", "[2a00::1]:8443"],
    tokens={NAME: "mine"},
    buckets={"s3://ours": {"AWS_ACCESS_KEY_ID": "k"}},
    repositories={"org/name": "hub's", "datasets/org/data": ""},
)


@pytest.mark.parametrize(
    ("address", "token"),
    [
        ("https://models.test/m.llamafile", "mine"),
        ("https://MODELS.test:443/m?sig=1", "mine"),
        ("https://models.test:8443/", ""),
        ("https://9.9.9.9/x", ""),
        ("https://[2a00::1]:8443/x", ""),
        ("hf://org/name/m.llamafile", "hub's"),
        ("hf://org/name@refs/pr/1/deep/m.llamafile", "hub's"),
        ("hf://datasets/org/data/m.llamafile", ""),
    ],
)
def test_what_is_listed_is_asked_for(address: str, token: str) -> None:
    assert LISTED.token(LISTED.judge(address)) == token


@pytest.mark.parametrize(
    "address",
    [
        "http://models.test/",
        "http://models.test:443/",
        "https://models.test:80/",
        "https://models.test:22/",
        "https://models.test./",
        "https://models.test.evil.test/",
        "https://evil.test/models.test",
        "https://evil.test/?https://models.test/",
        "https://evil.test#models.test",
        "https://evil.test\\models.test/",
        "https://models.test\\.evil.test/",
        "https://models.test%2eevil.test/",
        "https://models.test%00.evil.test/",
        "https://evil.test;models.test/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:9.9.9.9]/",
        "https://[2a00::1]/",
        "https://[2a00:0::1]:8443/",
        "https://9.9.9.9.nip.test/",
        "https://151587081/",
        "https://09.9.9.9/",
        "https://169.254.169.254/latest/meta-data/",
        "https://metadata.google.internal/",
        "s3://theirs/key",
        "gs://ours/key",
        "az://ours/key",
        "hf://org/other/m.llamafile",
        "hf://datasets/org/name/m.llamafile",
        "hf://org/data/m.llamafile",
        "hf://spaces/org/name/m.llamafile",
        "https://huggingface.co/org/name/resolve/main/m.llamafile",
    ],
)
def test_what_is_not_listed_is_not(address: str) -> None:
    with pytest.raises(NotListed):
        LISTED.judge(address)
    assert not lf.validate_upload(address, allowed=LISTED).complete


@pytest.mark.parametrize(
    "address",
    [
        "https://user@models.test/",
        "https://user:pw@models.test/",
        "https://models.test:pw@evil.test/",
        "https://models.test@evil.test/",
        "https://evil.test\\@models.test/",
        "https:// models.test/",
        "https://models.test /",
        "https://models.test:0/",
        "https://models.test:x/",
        "https://models.test:99999/",
        "https://ⓜodels.test/",
        "https://[::1/",
        "https://",
        "https:///m",
        "file:///etc/passwd",
        "ftp://models.test/",
        "gopher://models.test/",
        "memory://x",
        "github://org:repo@main/x",
        "s3://ours@theirs/key",
        "s3://ours/key?versionId=1",
        "hf://org/name/../../other/x",
        "hf://org/name/%2e%2e/%2E%2E/other/x",
        "hf://org/name/..%2f..%2fother",
        "hf://org/name/%252e%252e/x",
        "hf://org/name/a%5c..%5cx",
        "hf://org/name/x%00",
        "hf://org/name@../raw/main/x",
        "hf://org/name@%2e%2e%2f..%2fother/x",
        "hf://../../x",
        "s3://ours/../theirs/key",
        "s3://ours//key",
        "s3://ours/key/",
        "s3://ours/a/./key",
        "hf://user:pw@org/name/x",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError) as refused:
        LISTED.judge(address)
    assert "pw" not in str(refused.value)
    report = lf.validate_upload(address, allowed=LISTED)
    assert not report.complete
    assert "pw" not in report.error + report.name


@given(st.text(max_size=80) | st.from_regex(r"\Ahttps://[!-~]{1,40}\Z") | st.from_regex(r"\A(hf|s3)://[!-~]{1,40}\Z"))
def test_whatever_is_named_ends_in_a_place_of_the_list(text: str) -> None:
    try:
        address = LISTED.judge(text)
    except (UsageError, NotListed):
        return
    if address.name.startswith("hf://"):
        assert address.url.startswith(("https://huggingface.co/org/name/", "https://huggingface.co/datasets/org/data/"))
    else:
        assert address.origin[1:] in LISTED.servers or address.origin[:2] in LISTED.buckets


@pytest.mark.parametrize(
    "host",
    ["", "a b", "a/b", "user@a", "a?b", "a#b", "127.1", "0x7f.1", "1", "a.1", "*.a", "a..b", "-a", "a.", "[::1", "ä"],
)
def test_what_is_no_host_is_not_listed(host: str) -> None:
    with pytest.raises(UsageError):
        server_of(host)
    with pytest.raises(UsageError):
        AllowList.of([host])


def test_a_list_is_read_strictly() -> None:
    assert server_of("A.test") == ("a.test", 443)
    assert server_of("[::1]:9") == ("::1", 9)
    assert is_plain_host("10.0.0.1")
    for wrong in (
        lambda: AllowList.of([NAME], tokens={"other.test": "t"}),
        lambda: AllowList.of([NAME], tokens={f"{NAME}:8443": "t"}),
        lambda: AllowList.of(buckets={"s3://a/b": {}}),
        lambda: AllowList.of(buckets={"https://a": {}}),
        lambda: AllowList.of(repositories={"org": ""}),
        lambda: AllowList.of(repositories={"org/name/x": ""}),
        lambda: AllowList.of(repositories={"org/name@main": ""}),
        lambda: AllowList.of(hub="http://hub.test"),
        lambda: AllowList.of(allow_private=["127.0.0.1/8"]),
        lambda: AllowList.of(allow_private=["everything"]),
    ):
        with pytest.raises(UsageError):
            wrong()


# Against a server


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return remote_container(tmp_path_factory.mktemp("listed") / "model.llamafile").read_bytes()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return server_certificate(tmp_path_factory.mktemp("tls"), NAME)


@pytest.fixture
def server(sample: bytes, certificate: tuple[Path, Path]) -> Iterator[FaultServer]:
    with FaultServer(sample, certificate=certificate[1]) as running:
        yield running


Lists = Callable[..., AllowList]


@pytest.fixture
def listing(server: FaultServer, certificate: tuple[Path, Path]) -> Lists:
    """A list with the server in it, by name."""

    def make(*hosts: str, **options: object) -> AllowList:
        known = {"allow_private": ["127.0.0.0/8"], "resolver": lambda host, port: ["127.0.0.1"]} | options
        here = f"{NAME}:{server.server_address[1]}"
        return AllowList.of([here, *hosts], ca_file=str(certificate[0]), **known)  # type: ignore[arg-type]

    return make


def named(server: FaultServer, fault: str = "plain") -> str:
    return server.url(fault, NAME)


def test_an_object_of_the_list_is_verified(server: FaultServer, listing: Lists) -> None:
    report = lf.validate_upload(named(server) + "?sig=s3cret", allowed=listing(), policy="hub")
    assert report.verdicts[lf.Layer.WELL_FORMED] is lf.Verdict.YES
    assert "s3cret" not in report.name
    assert report.revision


def test_this_machine_is_private_unless_the_list_says_otherwise(server: FaultServer, listing: Lists) -> None:
    report = lf.validate_upload(named(server), allowed=listing(allow_private=[]))
    assert report.error == f"{named(server)}: {NAME} leads to a machine that strangers do not get to"
    assert server.requests == 0


def test_a_name_is_resolved_once(server: FaultServer, listing: Lists) -> None:
    """A resolver that names a public machine first and another one later, as an attacker's does."""
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    with open_listed(named(server, "cut"), listing(resolver=rebinding)) as source:  # many connections: it breaks off
        assert lf.verify(source).complete
    assert asked == [NAME]
    assert server.requests > 3


def test_what_was_judged_is_what_is_connected_to(
    server: FaultServer, listing: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library that connects never sees the name: nothing can be resolved behind our back."""

    def resolved(*_: object, **__: object) -> None:
        raise AssertionError("a name was resolved by somebody else")

    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", resolved)
        patched.setattr(socket, "create_connection", resolved)
        with open_listed(named(server), listing()) as source:
            assert source.read_at(0, 4)
    with pytest.raises(SourceError, match="strangers do not get to"):
        open_listed(named(server), listing(resolver=lambda host, port: ["127.0.0.1", "169.254.169.254"]))


def test_the_certificate_is_one_of_the_name(server: FaultServer, listing: Lists) -> None:
    port = server.server_address[1]
    with pytest.raises(SourceError, match="no trustworthy connection"):
        open_listed(f"https://other.test:{port}/plain/m", listing(f"other.test:{port}"))


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:127.0.0.1]:PORT/plain/m",
        "https://127.0.0.1:PORT/plain/m",
        "https://2130706433:PORT/plain/m",
        "https://other.test:PORT/plain/m",
        "https://models.test/plain/m",
        "//other.test/x",
        "https://user:pw@models.test:PORT/plain/m",
        "file:///etc/passwd",
        "s3://ours/key",
        "hf://org/name/m",
        "",
        "https://[",
    ],
)
def test_a_redirect_leads_nowhere_else(elsewhere: str, server: FaultServer, listing: Lists) -> None:
    server.elsewhere = elsewhere.replace("PORT", str(server.server_address[1]))
    report = lf.validate_upload(named(server, "away"), allowed=listing())
    assert not report.complete
    assert "pw" not in report.error
    assert set(server.seen) == {"away"}


def test_a_redirect_within_the_list_takes_no_token_along(sample: bytes, server: FaultServer, listing: Lists) -> None:
    here = f"{NAME}:{server.server_address[1]}"
    assert lf.validate_upload(named(server, "redirect"), allowed=listing(tokens={here: TOKEN})).complete
    assert set(server.tokens) == {f"Bearer {TOKEN}"}
    server.tokens.clear()
    second = f"{NAME}:{server.server_address[1]}".replace(NAME, "second.test")
    server.elsewhere = f"https://{second}/plain/m"
    with pytest.raises(SourceError, match="no trustworthy"):  # its certificate is of another name: it was connected to
        open_listed(named(server, "away"), listing(second, tokens={here: TOKEN}))
    assert lf.validate_upload(named(server, "locked"), allowed=listing(tokens={here: TOKEN})).complete
    assert not lf.validate_upload(named(server, "locked"), allowed=listing()).complete


def test_nothing_is_taken_from_the_environment(
    server: FaultServer, listing: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("HF_TOKEN", "LFF_TOKEN", "HF_ENDPOINT"):
        monkeypatch.setenv(name, "https://evil.test")
    assert lf.validate_upload(named(server), allowed=listing()).complete
    assert server.tokens == []
    with pytest.raises(UsageError, match=r"(?i)https_proxy|all_proxy"):
        open_listed("s3://ours/key", LISTED)
    for name in allow_list.ambient(list(os.environ)):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://169.254.169.254")
    with pytest.raises(UsageError, match="AWS_ENDPOINT_URL"):
        open_listed("s3://ours/key", LISTED)


def test_a_hub_is_reached_for_what_is_listed_there(server: FaultServer, listing: Lists) -> None:
    hub = f"https://{NAME}:{server.server_address[1]}"
    allowed = listing(hub=hub, repositories={"plain/model": TOKEN})
    there = AllowList(
        repositories=allowed.repositories,
        hub=hub,
        private=allowed.private,
        ca_file=allowed.ca_file,
        resolver=allowed.resolver,
    )
    report = lf.validate_upload("hf://plain/model/m.llamafile", allowed=there)
    assert report.complete
    assert set(server.tokens) == {f"Bearer {TOKEN}"}
    assert not lf.validate_upload(f"{hub}/plain/model/resolve/main/m", allowed=there).complete, "only what is listed"


def test_machines_are_tried_one_after_the_other(server: FaultServer, listing: Lists) -> None:
    with open_listed(named(server), listing(resolver=lambda host, port: ["127.9.9.9", "127.0.0.1"])) as source:
        assert source.size
    with pytest.raises(OSError, match="nobody"):
        allow_list.connected((), 1.0)


def test_a_name_that_is_none(listing: Lists) -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror("no such name")

    gate = listing(resolver=unknown).checkpoint(read_address(f"https://{NAME}/"))
    with pytest.raises(NotListed):
        gate.places(NAME, 443)
    port = next(iter(listing().servers))[1]
    with pytest.raises(Passing):
        gate.places(NAME, port)
    with pytest.raises(Passing):
        listing(resolver=lambda host, port: []).checkpoint(read_address(f"https://{NAME}/")).places(NAME, port)
