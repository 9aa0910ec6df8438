"""What a visitor sees: ``./exhibit.llamafile``, and a real browser in which to chat.

``LFF_PICTURE=FILE.png`` keeps the picture of the page; ``docs/chat-page.png`` was made that way.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.interop.webdriver import ENTER, Browser, browser
from tests.runtime_server import Server, pack, served

pytestmark = [pytest.mark.slow, pytest.mark.interop]

QUESTION = "Tell me about the clock."
SIZE = (1100, 800)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The exhibit, started."""
    with served(pack(tmp_path_factory.mktemp("page") / "exhibit.llamafile")) as started:
        yield started


@pytest.fixture(scope="module")
def window(server: Server, tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Its page, after one question and its answer."""
    with browser(tool, tmp_path_factory.mktemp("profile"), size=SIZE) as opened:
        opened.requested()
        opened.open(server.address)
        opened.wait("document.querySelector('textarea')")
        opened.type("textarea", QUESTION + ENTER)
        opened.wait("/came to the museum[^]*tokens/.test(document.body.innerText)")
        yield opened


def test_the_answer_is_the_one_that_the_api_gives(window: Browser, server: Server) -> None:
    said = server.ask(QUESTION, max_tokens=400).strip()
    assert said.startswith("A young clockmaker")
    shown = " ".join(window.script("return document.body.innerText").split())
    assert " ".join(said.split()) in shown
    assert QUESTION in shown


def test_the_page_names_the_model(window: Browser) -> None:
    assert "exhibit" in window.script("return document.body.innerText")


def test_the_page_asks_its_own_server_for_everything(window: Browser, server: Server) -> None:
    asked = [address for address in window.requested() if urlsplit(address).scheme not in ("data", "blob", "chrome")]
    own = server.address.rstrip("/")
    assert {f"{urlsplit(address).scheme}://{urlsplit(address).netloc}" for address in asked} == {own}
    paths = {urlsplit(address).path for address in asked}
    assert {"/", "/props", "/v1/chat/completions"} <= paths


def test_the_page_has_nothing_to_complain_of(window: Browser) -> None:
    # /tools says "403, disabled" where no tools were allowed; the page asks to find out.
    assert [line for line in window.complaints() if "/tools" not in line] == []


def test_its_picture(window: Browser, tmp_path: Path) -> None:
    picture = window.screenshot()
    width, height = struct.unpack(">II", picture[16:24])
    assert width == SIZE[0]
    assert height > 500
    assert 20_000 < len(picture) < 150_000  # a blank page takes 5 kB
    Path(os.environ.get("LFF_PICTURE", tmp_path / "page.png")).write_bytes(picture)


def test_another_page_cannot_use_it(window: Browser, server: Server, tmp_path: Path) -> None:
    """A page from elsewhere, in the same browser, gets no answer from the server, and none is computed."""
    before = server.output()
    (tmp_path / "evil.html").write_text("<title>evil</title>", "utf-8")
    window.open((tmp_path / "evil.html").as_uri())
    tried = window.script(
        f"""return Promise.all([["cors", "application/json"], ["no-cors", "text/plain"]].map(([mode, type]) =>
            fetch("{server.address}v1/completions", {{method: "POST", mode: mode, headers: {{"Content-Type": type}},
                  body: JSON.stringify({{prompt: "The", max_tokens: 2}})}})
            .then(answer => answer.type + answer.status, error => "refused")))"""
    )
    assert tried == ["refused", "opaque0"]
    statuses = [line for line in window.complaints() if "403" in line]
    assert statuses, "the server let a foreign page in"
    assert server.output() == before


# What the page may not do

ATTACK = "<img src=x onerror=window.ran=1><script>window.ran=2</script>"


@pytest.fixture(scope="module")
def attacked(tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The page after an answer that attacks it: a grammar lets the model say nothing else."""
    packed = pack(tmp_path_factory.mktemp("attacked") / "exhibit.llamafile")
    grammar = f'root ::= "{ATTACK} end"'
    with (
        served(packed, "--grammar", grammar) as server,
        browser(tool, tmp_path_factory.mktemp("profile"), size=SIZE) as opened,
    ):
        opened.open(server.address)
        opened.wait("document.querySelector('textarea')")
        opened.type("textarea", QUESTION + ENTER)
        opened.wait("/end[^]*tokens/.test(document.body.innerText)")
        yield opened


def test_no_script_of_an_answer_runs(attacked: Browser) -> None:
    assert attacked.script("return window.ran || 0") == 0


def test_nor_would_one_that_got_into_the_page(attacked: Browser) -> None:
    attacked.script(
        f"""document.body.insertAdjacentHTML("beforeend", "{ATTACK}");
            const made = document.createElement("script"); made.textContent = "window.ran = 3";
            document.body.append(made);
            const link = document.createElement("a"); link.href = "javascript:window.ran=4"; document.body.append(link);
            link.click();"""
    )
    attacked.wait("[...document.images].some(image => image.src.endsWith('/x') && image.complete)")
    assert attacked.script("return window.ran || 0") == 0


def test_nothing_is_sent_elsewhere(attacked: Browser) -> None:
    tried = """return fetch("http://127.0.0.1:9/").then(() => "sent", error => error.name)"""
    attacked.complaints()
    assert attacked.script(tried) == "TypeError"
    assert any("Content Security Policy" in line for line in attacked.complaints())
