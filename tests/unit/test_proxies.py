"""Proxies as the user's variables name them: who is asked through which, and who sees what (spec/1, 10.12.10)."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import llamafile_format as lf
from llamafile_format.cli.main import cli
from llamafile_format.errors import SourceError, UsageError
from llamafile_format.source import http_object
from llamafile_format.source.address import read_address
from llamafile_format.source.opening import open_remote
from llamafile_format.source.proxies import Proxies
from tests.fault_server import FaultServer
from tests.proxy_server import ProxyServer
from tests.remote_samples import remote_container, server_certificate

FAR = "model.example"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return remote_container(tmp_path_factory.mktemp("proxied") / "model.llamafile")


def proxies(proxy: ProxyServer, secret: str = "", **more: str) -> Proxies:
    return Proxies.of(
        {"https_proxy": f"http://{secret}{proxy.host}", "http_proxy": f"http://{secret}{proxy.host}"} | more
    )


def test_tls_goes_through_untouched(sample: Path, tmp_path: Path) -> None:
    authority, served = server_certificate(tmp_path, FAR)
    with (
        FaultServer(sample.read_bytes(), certificate=served) as server,
        ProxyServer(server.server_address[:2], "me:s3cret") as proxy,
    ):
        url = f"https://{FAR}/redirect/plain/model.llamafile?sig=hidden"
        with open_remote(url, ca_file=str(authority), token="t0ken", proxies=proxies(proxy, "me:s3cret@")) as source:
            assert lf.verify(source).complete
        assert {command for command, _ in proxy.asked} == {"CONNECT"}
        assert {path for _, path in proxy.asked} == {f"{FAR}:443"}
        assert not any("Authorization" in seen for seen in proxy.headers), "the token is for the server"
        assert server.tokens
        with pytest.raises(SourceError, match=rf"the proxy {proxy.host} does not let us through \(407\)") as caught:
            open_remote(url, ca_file=str(authority), proxies=proxies(proxy, "me:wr0ng@"))
        assert "wr0ng" not in str(caught.value)
        assert "hidden" not in str(caught.value)


def test_http_is_asked_for_by_whole_addresses(sample: Path) -> None:
    with FaultServer(sample.read_bytes()) as server, ProxyServer(server.server_address[:2], "me:s3cret") as proxy:
        url = f"http://{FAR}/plain/model.llamafile"
        with open_remote(url, proxies=proxies(proxy, "me:s3cret@")) as source:
            assert lf.verify(source).complete
        assert set(proxy.asked) == {("GET", url)}
        with pytest.raises(SourceError, match="the server says 407") as caught:
            open_remote(url, proxies=proxies(proxy, "me:wr0ng@"))
        assert "wr0ng" not in str(caught.value)


def test_who_is_asked_without_one(sample: Path) -> None:
    with FaultServer(sample.read_bytes()) as server, ProxyServer(server.server_address[:2]) as proxy:
        with open_remote(server.url(), proxies=proxies(proxy)) as source:  # this very machine
            assert source.size
        assert not proxy.asked
        found = proxies(proxy, no_proxy="other.example, .inner.example")
        for host, direct in (
            (FAR, False),
            ("other.example", True),
            ("deep.inner.example", True),
            ("127.0.0.1", True),
            ("127.9.9.9", True),
            ("localhost", True),
            ("[::1]", True),
            ("10.0.0.1", False),
        ):
            assert (found.between(read_address(f"https://{host}/x")) is None) == direct, host
    assert Proxies.of({"HTTPS_PROXY": "p:1", "NO_PROXY": "*"}).between(read_address(f"https://{FAR}/x")) is None


def test_variables() -> None:
    said = Proxies.of({"HTTPS_PROXY": "http://b:2", "https_proxy": "http://a:1", "ALL_PROXY": "c:3"})
    assert said.https is not None
    assert said.http is not None
    assert (said.https.name, said.http.name) == ("a:1", "c:3")
    assert Proxies.of({"HTTP_PROXY": "http://x:1", "REQUEST_METHOD": "GET"}).http is None
    assert "s3cret" not in repr(Proxies.of({"https_proxy": "http://me:s3cret@p:1"}))
    for none in ("socks5://p:1", "https://p:1", "http://", "http://p:x", "http://p 1"):
        with pytest.raises(UsageError) as caught:
            Proxies.of({"https_proxy": none.replace("//", "//me:s3cret@")})
        assert "s3cret" not in str(caught.value)


def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_object, "_PAUSES", (0.0, 0.0))
    with ProxyServer(("127.0.0.1", 9)) as proxy:
        name = proxy.host
    for scheme in ("http", "https"):
        with pytest.raises(SourceError, match=f"no connection to the proxy {name}"):
            open_remote(f"{scheme}://{FAR}/x", proxies=Proxies.of({"all_proxy": f"me:s3cret@{name}"}))


def test_the_command_takes_them_from_the_environment(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultServer(sample.read_bytes()) as server, ProxyServer(server.server_address[:2], "me:s3cret") as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:s3cret@{proxy.host}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        result = CliRunner().invoke(cli, ["verify", f"http://{FAR}/plain/model.llamafile", "--level", "quick"])
        assert result.exit_code == 0, result.output
        assert proxy.asked
        assert "s3cret" not in result.output
        asked = len(proxy.asked)
        monkeypatch.setenv("http_proxy", "socks5://me:s3cret@p:1")
        result = CliRunner().invoke(cli, ["verify", f"http://{FAR}/x"])
        assert getattr(result.exception, "exit_code", 0) == 2
        assert "s3cret" not in str(result.exception)
        assert len(proxy.asked) == asked


def test_a_store_is_asked_through_it(sample: Path) -> None:
    settings = {"AWS_ENDPOINT_URL": f"https://{FAR}"}
    with FaultServer(sample.read_bytes()) as server, ProxyServer(server.server_address[:2]) as proxy:
        with pytest.raises(SourceError):  # nothing there speaks TLS
            open_remote("s3://bucket/key", settings=settings, proxies=proxies(proxy), patience=0.5)
        assert ("CONNECT", f"{FAR}:443") in proxy.asked


def test_a_store_is_not_asked_through_one_that_nobody_named(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultServer(sample.read_bytes()) as server, ProxyServer(server.server_address[:2]) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.host}")
        with pytest.raises(SourceError):
            open_remote("s3://bucket/key", settings={"AWS_ENDPOINT_URL": f"https://{FAR}"}, patience=0.5)
        assert not proxy.asked
