"""Open the page of a container in headless Chromium, choose the container, ask its model: what a visitor does by hand.

    python examples/page_in_browser.py PAGE.html FILE.llamafile "TEXT" [SCREENSHOT.png]

Needs Chromium and its driver, which is spoken to as the W3C's WebDriver says: JSON over HTTP. The page comes from a
file, and no network is asked for anything.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = ["--headless=new", "--no-sandbox", "--no-first-run", "--hide-scrollbars", "--disable-gpu"]
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key under which WebDriver names an element
PATIENCE = 120.0  # seconds


def here() -> bool:
    """True if there is a Chromium that can be driven."""
    return bool(shutil.which("chromium") and shutil.which("chromedriver"))


def call(address: str, body: Any, method: str = "POST") -> Any:
    """One command of the protocol; its value."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)["value"]


@contextmanager
def window(width: int = 900, height: int = 1150) -> Iterator[str]:
    """A new window with an empty profile; the address of its session."""
    with tempfile.TemporaryDirectory() as profile:
        driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            assert driver.stdout is not None
            port = next(found[1] for line in driver.stdout if (found := re.search(r"successfully on port (\d+)", line)))
            flags = [*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"]
            options = {"binary": shutil.which("chromium"), "args": flags}
            wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
            session = f"http://127.0.0.1:{port}/session"
            session += "/" + call(session, wanted)["sessionId"]
            try:
                yield session
            finally:
                call(session, None, "DELETE")
        finally:
            driver.terminate()
            driver.wait()


def script(session: str, text: str) -> Any:
    """Run the body of a function in the page; what it returns."""
    return call(f"{session}/execute/sync", {"script": text, "args": []})


def wait(session: str, condition: str) -> Any:
    """The value of a JavaScript expression, once it is true."""
    deadline = time.monotonic() + PATIENCE
    while not (value := script(session, f"return {condition}")):
        if time.monotonic() > deadline:
            raise TimeoutError(condition)
        time.sleep(0.1)
    return value


def ask(page: Path, file: Path, text: str, shot: Path | None = None) -> str:
    """The page's own words: the whole answer."""
    with window() as session:
        call(f"{session}/url", {"url": page.resolve().as_uri()})
        chooser = call(f"{session}/element", {"using": "css selector", "value": "#file"})[ELEMENT]
        call(f"{session}/element/{chooser}/value", {"text": str(file.resolve())})
        wait(session, "document.getElementById('ask-go')")
        script(session, f"document.getElementById('ask-text').value = {json.dumps(text)}")
        script(session, "document.getElementById('ask-go').click()")
        wait(session, "document.querySelector('.ask-answer') && !document.getElementById('ask-go').disabled")
        if shot is not None:
            script(session, "document.getElementById('ask-what').parentElement.scrollIntoView()")
            shot.write_bytes(base64.b64decode(call(f"{session}/screenshot", None, "GET")))
        return str(script(session, "return document.querySelector('.ask-answer').textContent"))


if __name__ == "__main__":
    print(ask(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]) if sys.argv[4:] else None))
