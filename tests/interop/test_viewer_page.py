"""The page in a real browser, from ``file://``: what it shows, finds and saves; nothing runs that a file says, and no
request leaves.

``LFF_PICTURES=FOLDER`` keeps pictures of it.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spec.vectors.generate import ROOT
from spec.vectors.generate.forge import Part, Spec, container, parts
from spec.vectors.generate.load import read_vector
from tests.interop.webdriver import ENTER, Browser, browser
from viewer.build import page

pytestmark = [pytest.mark.slow, pytest.mark.interop]

KEYS = ROOT / "trust/keys"
TAB = "\ue004"
MARKUP = "<img src=x onerror=window.hit=1><script>window.hit=1</script>\"'><a href=javascript:hit>\u202e\x1b[2J\u200b"
DIGEST = "A file can claim to be <b>well-formed</b>: yes"


def hostile(*more_labels: str) -> bytes:
    """A container with markup and direction marks wherever a text may stand."""
    more = [
        Part(f"{MARKUP}.gguf", b"GGUF", "weights", MARKUP),
        Part("two", b"x", MARKUP, "text/html"),
        Part(".args", MARKUP.encode(), "arguments", "text/plain"),
    ]
    labels = dict.fromkeys(("name", "license", "source", "default", MARKUP, *more_labels), MARKUP + DIGEST)
    return container(Spec([*parts(), *more], labels=labels))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, and files to look at."""
    made = tmp_path_factory.mktemp("viewer")
    (made / "page.html").write_text(page(), "utf-8")
    for name in (
        "chunks/good",
        "chunks/second-chunk",
        "signatures/good-p256",
        "signatures/good-pair",
        "signatures/forged",
        "legacy/crc-of-deflated-wrong",
        "runtimes/program-with-words",
    ):
        path = ROOT / f"{name}.vector"
        (made / f"{path.stem}.llamafile").write_bytes(read_vector(path).payload)
    (made / "hostile.llamafile").write_bytes(hostile())
    (made / "hostile-without-manifest.llamafile").write_bytes(hostile("created"))
    return made


@pytest.fixture(scope="module")
def window(tool: Callable[[str], Path], folder: Path) -> Iterator[Browser]:
    """The page."""
    with browser(tool, folder / "profile", size=(1000, 1400)) as opened:
        opened.open((folder / "page.html").as_uri())
        yield opened


def look(window: Browser, folder: Path, name: str) -> str:
    """Open the page anew, choose a file, and return what the page says of it."""
    window.open((folder / "page.html").as_uri())
    window.type("#file", str(folder / name))
    window.wait("/Read in|cannot be read/.test(document.getElementById('status').textContent)")
    return text(window)


def text(window: Browser) -> str:
    return str(window.script("return document.body.innerText"))


def press(window: Browser, label: str) -> None:
    find = f"[...document.querySelectorAll('button')].find(each => each.textContent === '{label}')"
    window.script(f"{find}.click()")


def check(window: Browser) -> str:
    press(window, "Check every byte")
    window.wait("/Every byte was checked|failed/.test(document.getElementById('status').textContent)")
    return text(window)


def verdict(window: Browser, layer: str) -> str:
    """The word beside a layer's name."""
    find = f"[...document.querySelectorAll('.verdict')].find(each => each.firstChild.textContent === '{layer}')"
    return str(window.script(f"return {find}.lastChild.textContent"))


def trust(window: Browser, *keys: str) -> None:
    """Paste keys, one after the other."""
    window.script("document.querySelector('details.trust').open = true")
    for key in keys:
        window.type("#key", (KEYS / key).read_text("ascii"))
        press(window, "Trust this key")
        window.wait("/Trusted|Not taken/.test(document.querySelector('.trust [role=status]').textContent)")
        window.script("document.querySelector('.trust [role=status]').textContent = ''")


def picture(window: Browser, name: str) -> None:
    if wanted := os.environ.get("LFF_PICTURES"):
        Path(wanted, f"{name}.png").write_bytes(window.screenshot())


def test_the_record_is_shown_at_once_and_every_byte_when_asked(window: Browser, folder: Path) -> None:
    said = look(window, folder, "good.llamafile")
    assert "CC0-1.0" in said or "not stated" in said
    assert "tiny.gguf" in said
    assert verdict(window, "Well-formed") == "undetermined"
    picture(window, "quick")
    said = check(window)
    assert verdict(window, "Well-formed") == "yes"
    assert verdict(window, "Valid") == "undetermined"
    assert "Not looked at by this page" in said
    assert said.count("as recorded") >= 3
    assert "it vouches for nothing" in said.replace("\n", " ")
    picture(window, "full")


def test_damage_is_told_by_member_and_chunk(window: Browser, folder: Path) -> None:
    look(window, folder, "second-chunk.llamafile")
    said = check(window)
    assert verdict(window, "Well-formed") == "no"
    assert "LF4001" in said
    assert "chunk 2" in said
    assert window.script("return document.querySelectorAll('.state.damaged').length") == 1
    picture(window, "damaged")


def test_a_trusted_key_makes_it_authentic_once_every_byte_was_read(window: Browser, folder: Path) -> None:
    said = look(window, folder, "good-p256.llamafile")
    assert "nobody to trust was named" in said
    trust(window, "archive.pub", "second.pub")
    window.wait("document.querySelectorAll('.verdict').length === 3")
    assert verdict(window, "Authentic") == "undetermined"  # nobody read the bytes yet
    check(window)
    assert verdict(window, "Authentic") == "yes"
    assert "because you named this key" in text(window)
    picture(window, "signed")


def test_a_strangers_key_makes_it_nobodys(window: Browser, folder: Path) -> None:
    look(window, folder, "good-p256.llamafile")
    trust(window, "old.pub")
    said = check(window)
    assert verdict(window, "Authentic") == "no"
    assert "by somebody whom you did not name" in said


def test_a_private_key_and_junk_are_not_taken(window: Browser, folder: Path) -> None:
    look(window, folder, "good.llamafile")
    window.script("document.querySelector('details.trust').open = true")
    window.type("#key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    press(window, "Trust this key")
    window.wait("/Not taken/.test(document.body.innerText)")
    assert "never give a private key" in text(window)


def test_hostile_texts_are_texts(window: Browser, folder: Path) -> None:
    """No script of the file runs, none of its markup becomes an element, and nothing is asked of anybody."""
    window.requested()
    window.complaints()
    look(window, folder, "hostile-without-manifest.llamafile")
    assert window.script("return window.hit === undefined && document.querySelectorAll('img, a').length === 0")
    look(window, folder, "hostile.llamafile")
    said = check(window)
    assert window.script("return window.hit === undefined")
    assert (
        window.script("return document.querySelectorAll('img, a, b, body script').length") == 1
    )  # the page's own script
    assert "\\u202e" in said
    assert "\u202e" not in said
    assert "\x1b" not in said
    asked = [address for address in window.requested() if not address.startswith(("data:", "chrome"))]
    assert set(asked) == {(folder / "page.html").as_uri()}
    assert window.complaints() == []
    picture(window, "hostile")


def test_members_are_saved_as_they_are(window: Browser, folder: Path) -> None:
    """What the browser is handed to save has the digest that the manifest names."""
    look(window, folder, "good.llamafile")
    window.script("URL.createObjectURL = blob => { window.saved = blob; return 'blob:none'; };")
    window.script("HTMLAnchorElement.prototype.click = function () { window.savedAs = this.download; };")
    window.script("document.querySelector('[aria-label=\"Save tiny.gguf\"]').click()")
    window.script(
        "window.savedText = null; saved.arrayBuffer().then(d => { window.savedText = [...new Uint8Array(d)]; });"
    )
    data = bytes(window.wait("window.savedText"))
    assert window.script("return window.savedAs") == "tiny.gguf"
    shown = window.script("return [...document.querySelectorAll('tbody code')].map(each => each.textContent)")
    assert hashlib.sha256(data).hexdigest() in shown


def test_it_can_be_used_without_a_mouse_and_heard(window: Browser, folder: Path) -> None:
    """Landmarks, headings, names of controls, a live region, and an order of keys that reaches all of them."""
    look(window, folder, "good.llamafile")
    unnamed = """return [...document.querySelectorAll('button, input, textarea, progress, section, [role=region]')]
        .filter(each => !each.hidden && !each.textContent.trim() && !each.getAttribute('aria-label'))
        .filter(each => !(each.labels || []).length)
        .map(each => each.outerHTML)"""
    assert window.script(unnamed) == []
    assert window.script("return document.querySelectorAll('main, header, h1').length") == 3
    assert window.script("return document.querySelector('#status').getAttribute('aria-live')") == "polite"
    assert window.script("return document.querySelectorAll('[tabindex]:not([tabindex=\"0\"])').length") == 0


def test_a_legacy_llamafile_is_judged(window: Browser, folder: Path) -> None:
    said = look(window, folder, "crc-of-deflated-wrong.llamafile")
    assert "a legacy llamafile: no manifest, no digests" in said
    press(window, "Check every member")
    window.wait("/compared with its CRC-32/.test(document.getElementById('status').textContent)")
    assert verdict(window, "Well-formed") == "no"
    assert "LF7020" in text(window)
    picture(window, "legacy")


def test_a_program_that_nobody_knows_is_described(window: Browser, folder: Path) -> None:
    look(window, folder, "program-with-words.llamafile")
    said = check(window)
    assert "LF3330" in said
    assert "LF3360" in said
    picture(window, "program")


def test_a_file_is_dropped(window: Browser, folder: Path) -> None:
    look(window, folder, "good.llamafile")
    window.script("""
        const dropped = new DataTransfer();
        dropped.items.add(new File([document.getElementById('file').files[0]], 'dropped.llamafile'));
        document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: dropped, bubbles: true, cancelable: true }));
    """)
    window.wait("/dropped.llamafile/.test(document.querySelector('.record')?.textContent)")
    check(window)
    assert verdict(window, "Well-formed") == "yes"


def test_checking_is_stopped_and_begun_again(window: Browser, folder: Path) -> None:
    look(window, folder, "second-chunk.llamafile")
    find = "[...document.querySelectorAll('button')].find(each => each.textContent === '{}').click();"
    window.script(find.format("Check every byte") + find.format("Stop"))
    window.wait("document.getElementById('status').textContent.startsWith('Stopped.')")
    assert verdict(window, "Well-formed") == "undetermined"
    check(window)
    assert verdict(window, "Well-formed") == "no"


def test_it_is_driven_by_keys_alone(window: Browser, folder: Path) -> None:
    """Tab leads to the button that checks, and Enter presses it."""
    look(window, folder, "good.llamafile")
    for _ in range(20):
        if window.script("return document.activeElement.textContent") == "Check every byte":
            break
        keys(window, TAB)
    keys(window, ENTER)
    window.wait("/Every byte was checked/.test(document.getElementById('status').textContent)")


def keys(window: Browser, key: str) -> None:
    """Press a key wherever the focus is."""
    steps = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
    window.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": steps}]})


def test_paper_holds_the_record_and_no_buttons(window: Browser, folder: Path) -> None:
    look(window, folder, "good.llamafile")
    check(window)
    cdp(window, "Emulation.setEmulatedMedia", media="print")
    said = text(window)
    buttons = "return [...document.querySelectorAll('button, input')].filter(each => each.checkVisibility()).length"
    assert window.script(buttons) == 0
    assert "Manifest SHA-256" in said
    assert "tiny.gguf" in said
    assert said.count("as recorded") >= 3
    paper = base64.b64decode(cdp(window, "Page.printToPDF")["data"])
    assert paper.startswith(b"%PDF-")
    assert 1 <= paper.count(b"/Type /Page\n") <= 4
    picture(window, "print")
    cdp(window, "Emulation.setEmulatedMedia", media="")


def cdp(window: Browser, command: str, **parameters: Any) -> Any:
    """A command of Chromium's own protocol."""
    return window.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})


@pytest.mark.parametrize("name", ["good.llamafile", "hostile.llamafile"])
def test_it_fits_a_narrow_window(name: str, folder: Path, tool: Callable[[str], Path], tmp_path: Path) -> None:
    flags = ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"]
    with browser(tool, tmp_path / "profile", size=(360, 1600), flags=flags) as narrow:
        cdp(narrow, "Emulation.setDeviceMetricsOverride", width=360, height=1600, deviceScaleFactor=1, mobile=False)
        look(narrow, folder, name)
        check(narrow)
        assert narrow.script("return document.documentElement.scrollWidth") <= 360
        picture(narrow, f"narrow-{Path(name).stem}")
