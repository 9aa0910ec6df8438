"""Servers that hold us up: every wait has an end, whatever comes over the line, and slow lines have their time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from llamafile_format.engines.index import Settings, open_url
from llamafile_format.errors import SourceError
from llamafile_format.source.address import read_address
from llamafile_format.source.answers import Answer, Passing
from llamafile_format.source.body import SLOWEST, read_bounded
from llamafile_format.source.connections import Connections
from llamafile_format.source.proxies import Proxies
from llamafile_format.vouching.ask_authority import QUERY_TYPE, REPLY_TYPE, ask
from tests.slow_server import HEAD, SlowServer, raw

PATIENCE = 0.4
ENOUGH = 4.0
"""Seconds in which anything here is over; what is to be prevented lasts for ever."""

CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NO_HEADERS = {
    "interim answers in a row": (raw(then=b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), 0.0),
    "other interim answers": (raw(then=b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), 0.0),
    "an interim answer now and then": (raw(then=b"HTTP/1.1 100 Continue\r\n\r\n"), 0.15),
    "a header letter by letter": (raw(HEAD + b"X: ", then=b"a"), 0.05),
    "the first line letter by letter": (raw(b"HTTP/1.1 200 ", then=b"a"), 0.05),
    "silence": (raw(b"HTTP", then=b""), 30.0),
}
NO_BODY = {
    "letter by letter": (raw(HEAD + b"Content-Length: 1000000\r\n\r\n", then=b"a"), 0.05),
    "to the end of the connection": (raw(HEAD + b"Connection: close\r\n\r\n", then=b"a"), 0.05),
    "a size of a chunk letter by letter": (raw(CHUNKED, b"5;x=", then=b"a"), 0.05),
    "chunks of one letter": (raw(CHUNKED, then=b"1\r\na\r\n"), 0.05),
    "trailers now and then": (raw(CHUNKED, b"0\r\n", then=b"X: y\r\n"), 0.05),
    "trailers in a row": (raw(CHUNKED, b"0\r\n", then=b"X: y\r\n" * 1000), 0.0),
}
Held = tuple[Callable[[int], Iterator[bytes]], float]


@contextmanager
def connections(patience: float = PATIENCE) -> Iterator[Connections]:
    made = Connections(ca_file="", parallel=2, patience=patience)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def soon() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < ENOUGH


@contextmanager
def held_up(answer: Callable[[int], Iterator[bytes]], pause: float) -> Iterator[Answer]:
    """An answer that has headers."""
    server = SlowServer(answer, pause=pause)
    with server, connections() as there, soon(), there.get(read_address(server.url), {}) as got:
        yield got


@pytest.mark.parametrize("held", NO_HEADERS.values(), ids=NO_HEADERS)
def test_headers_come_in_time(held: Held) -> None:
    with SlowServer(held[0], pause=held[1]) as server, connections() as there, soon(), pytest.raises(Passing):
        there.get(read_address(server.url), {})


@pytest.mark.parametrize("held", NO_BODY.values(), ids=NO_BODY)
def test_a_body_that_drips_breaks_off(held: Held) -> None:
    with held_up(*held) as answer:
        buffer = memoryview(bytearray(100_000))
        count = answer.fill(buffer)
        assert count < len(buffer)
        assert answer.fill(buffer[count:]) == 0  # it is over: nobody gets the same time once more


def test_a_page_that_says_no_drips_too() -> None:
    no = b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n5;x="
    with held_up(raw(no, then=b"a"), 0.05) as answer, pytest.raises(SourceError, match="403"):
        answer.part()


def test_a_slow_line_has_its_time() -> None:
    """Twice the least, for several times as long as anybody would be silent for."""
    piece = bytes(SLOWEST // 10)
    answer = raw(HEAD + b"Content-Length: %d\r\n\r\n" % (40 * len(piece)), *[piece] * 40)
    with SlowServer(answer, pause=0.05) as server, connections() as there:
        began = time.monotonic()
        with there.get(read_address(server.url), {}) as got:
            assert got.fill(memoryview(bytearray(40 * len(piece)))) == 40 * len(piece)
        assert time.monotonic() - began > 4 * PATIENCE


def test_a_fast_beginning_buys_no_time() -> None:
    answer = raw(HEAD + b"Content-Length: 100000000\r\n\r\n", bytes(1 << 23), then=b"a")
    with held_up(answer, 0.05) as got:
        assert 1 << 23 <= got.fill(memoryview(bytearray(1 << 24))) < (1 << 23) + 100


def test_interim_answers_are_skipped_and_the_connection_serves_again() -> None:
    before = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    answer = raw(before, HEAD + b"Content-Length: 3\r\n\r\n", b"yes")
    with SlowServer(answer, pause=PATIENCE / 4) as server, connections() as there:
        for _ in range(3):
            with there.ask("PUT", read_address(server.url), {}, bytes(1 << 20)) as got:
                buffer = bytearray(3)
                assert (got.status, got.fill(memoryview(buffer)), buffer) == (200, 3, b"yes")
        assert (server.asked, server.connected) == (3, 1)


def test_one_that_takes_nothing_is_left() -> None:
    with SlowServer(raw(), reads=False) as server, connections() as there, soon(), pytest.raises(Passing):
        there.ask("PUT", read_address(server.url), {}, bytes(1 << 26))


PROXIES = {**NO_HEADERS, "headers in a row": (raw(HEAD, then=b"X: y\r\n" * 1000), 0.0)}


@pytest.mark.parametrize("held", PROXIES.values(), ids=PROXIES)
def test_a_proxy_that_holds_us_up(held: Held) -> None:
    with SlowServer(held[0], pause=held[1]) as server, soon():
        made = Connections(
            ca_file="", parallel=1, patience=PATIENCE, proxies=Proxies.of({"HTTPS_PROXY": f"http://{server.host}"})
        )
        with pytest.raises(Passing):
            made.get(read_address("https://example.invalid/x"), {})
        assert server.asked == 1
        made.close()


@pytest.mark.parametrize("held", NO_HEADERS.values(), ids=NO_HEADERS)
def test_an_authority_that_holds_us_up(held: Held) -> None:
    with SlowServer(held[0], pause=held[1]) as server, soon(), pytest.raises(SourceError, match="no answer"):
        ask(server.url, b"query", timeout=PATIENCE)


def test_an_authority_that_drips() -> None:
    kind = f"Content-Type: {REPLY_TYPE}\r\n".encode()
    drips = SlowServer(raw(HEAD + kind + b"\r\n", then=b"a"), pause=0.05)
    with drips as server, soon(), pytest.raises(SourceError, match="no answer"):
        ask(server.url, b"query", timeout=PATIENCE)
    good = raw(HEAD + kind + b"Content-Length: 5\r\n\r\n", b"reply")
    with SlowServer(good) as server:
        assert ask(server.url, QUERY_TYPE.encode(), timeout=PATIENCE) == b"reply"


@pytest.mark.parametrize("held", NO_HEADERS.values(), ids=NO_HEADERS)
def test_an_index_that_holds_us_up(held: Held) -> None:
    with SlowServer(held[0], pause=held[1]) as server, soon(), pytest.raises(OSError, match=r"time|too long|no answer"):
        open_url(server.url, Settings(timeout=PATIENCE), {})


@pytest.mark.parametrize("held", NO_BODY.values(), ids=NO_BODY)
def test_an_index_that_drips(held: Held) -> None:
    with SlowServer(held[0], pause=held[1]) as server, soon():
        answer = open_url(server.url, Settings(timeout=PATIENCE), {})
        with pytest.raises(OSError, match=r"time|too long"):
            read_bounded(answer, 1 << 20)
        answer.close()
