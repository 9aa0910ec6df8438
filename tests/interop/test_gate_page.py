"""The gate's page in a real browser: a file dropped, an address entered, by keyboard alone, and read aloud."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.gate_service import KEY, Running, configure, gate
from tests.interop.webdriver import ELEMENT, ENTER, Browser, browser
from tests.laws.containers import small_container

pytestmark = [pytest.mark.slow, pytest.mark.interop]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with gate(configure(tmp_path_factory.mktemp("gate"))) as found:
        yield found


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_container(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def window(tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tool, tmp_path_factory.mktemp("profile"), (900, 1250)) as found:
        yield found


@pytest.fixture
def page(window: Browser, running: Running) -> Browser:
    window.open(running.base + "/")
    window.requested(), window.complaints()
    return window


def focused(page: Browser) -> str:
    found: str = page.script("return document.activeElement.id")
    return found


def press(page: Browser, key: str) -> None:
    keys = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
    page.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": keys}]})


def test_a_file_is_chosen_and_its_report_read(page: Browser, running: Running, sample: Path) -> None:
    page.type("#key", KEY)
    page.type("#file", str(sample))
    page.script("document.getElementById('go').click()")
    page.wait("!document.getElementById('report').hidden")
    assert page.script("return document.getElementById('report-title').textContent") == sample.name
    answers = page.script("return [...document.querySelectorAll('#verdicts td')].map(cell => cell.textContent)")
    assert answers == ["yes", "yes", "not asked", "yes"]
    assert focused(page) == "report", "who listens is taken to what there is to hear"
    page.wait("document.getElementById('status').textContent === 'Done: safe.'")
    assert page.complaints() == []
    assert all(each.startswith((running.base, "blob:", "data:")) for each in page.requested())
    if folder := os.environ.get("LFF_SCREENSHOTS"):
        Path(folder, "gate-page.png").write_bytes(page.screenshot())


def test_a_broken_file_is_dropped_and_explained(page: Browser, sample: Path, tmp_path: Path) -> None:
    broken = tmp_path / "<img src=x onerror=alert(1)>.llamafile"
    broken.write_bytes(sample.read_bytes()[:-100])
    page.type("#key", KEY)
    page.type("#file", str(broken))
    page.script(
        "const data = new DataTransfer(); data.items.add(document.getElementById('file').files[0]);"
        "document.getElementById('file').value = '';"
        "document.dispatchEvent(new DragEvent('dragover', {dataTransfer: data, cancelable: true}));"
        "document.dispatchEvent(new DragEvent('drop', {dataTransfer: data, cancelable: true}));"
    )
    page.wait("!document.getElementById('report').hidden")
    assert page.script("return document.getElementById('findings').children.length") > 0
    assert "What to do" in page.script("return document.getElementById('findings').innerText")
    assert page.script("return document.images.length") == 0
    assert page.script("return document.body.classList.contains('over')") is False


def test_it_is_used_by_keyboard_alone(page: Browser) -> None:
    order = []
    for _ in range(7):
        press(page, "\ue004")
        order.append(focused(page))
    assert order[1:] == ["key", "file", "url", "level", "go", order[-1]]
    page.type("#key", KEY)
    page.type("#url", "https://not.listed.test/m" + ENTER)
    page.wait("document.getElementById('status').textContent.includes('not on the list')")
    assert page.script("return document.getElementById('go').disabled") is False


def test_what_is_missing_is_said_and_shown(page: Browser) -> None:
    page.script("document.getElementById('go').click()")
    page.wait("document.getElementById('status').textContent.includes('your key first')")
    assert focused(page) == "key"
    page.type("#key", "wrong")
    page.type("#url", "https://a.test/" + ENTER)
    page.wait("document.getElementById('status').textContent.includes('no valid key (401)')")


def test_it_can_be_read_aloud(page: Browser) -> None:
    """What Chromium tells a screen reader: every control has a name, and the status is a live region."""
    controls = page.call("POST", "/elements", {"using": "css selector", "value": "input, select, button"})
    names = [page.call("GET", f"/element/{each[ELEMENT]}/computedlabel") for each in controls]
    assert names == ["Key", "A file", "or an address", "Look at", "Verify"]
    status = page.call("POST", "/element", {"using": "css selector", "value": "#status"})
    assert page.call("GET", f"/element/{status[ELEMENT]}/computedrole") == "status"
    assert page.script("return document.documentElement.lang") == "en"
    assert page.script("return document.querySelectorAll('h1').length") == 1
    assert page.script("return document.getElementById('key').type") == "password"


def test_no_script_but_its_own_runs(page: Browser, running: Running) -> None:
    page.script(
        "try { const script = document.createElement('script'); script.text = 'window.ran = 1';"
        "document.body.append(script) } catch {}"
        "try { document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=window.ran=1>') } catch {}"
    )
    assert page.script("return window.ran") is None
    policy = running.ask("/", key="")[1]["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("width", [360, 900])
def test_nothing_is_cut_off(width: int, page: Browser) -> None:
    page.call("POST", "/window/rect", {"width": width, "height": 900})
    assert page.script("return document.documentElement.scrollWidth <= window.innerWidth")
