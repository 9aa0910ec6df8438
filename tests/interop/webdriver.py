"""A real browser, driven as the W3C's WebDriver says: JSON over HTTP to chromedriver, nothing else needed."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENTER = "\ue007"
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key under which WebDriver names an element
QUIET = ("background-networking", "component-update", "sync", "gpu", "default-apps", "extensions")
FLAGS = ["--headless=new", "--no-sandbox", "--no-first-run", "--hide-scrollbars", *(f"--disable-{q}" for q in QUIET)]


@dataclass(frozen=True)
class Browser:
    """One window."""

    session: str

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One command of the protocol; its value."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.session + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()[:1000]}") from None

    def open(self, address: str) -> None:
        """Go to a page and wait until it has loaded."""
        self.call("POST", "/url", {"url": address})

    def script(self, text: str) -> Any:
        """Run the body of a JavaScript function in the page; what it returns."""
        return self.call("POST", "/execute/sync", {"script": text, "args": []})

    def wait(self, condition: str, seconds: float = 120) -> Any:
        """Run a JavaScript expression in the page until it is true; its value."""
        deadline = time.monotonic() + seconds
        while not (value := self.script(f"return {condition}")):
            if time.monotonic() > deadline:
                raise AssertionError(f"never true: {condition}\n{self.script('return document.body.innerText')}")
            time.sleep(0.1)
        return value

    def type(self, selector: str, text: str) -> None:
        """Type into the first element that a CSS selector finds."""
        found = self.call("POST", "/element", {"using": "css selector", "value": selector})
        self.call("POST", f"/element/{found[ELEMENT]}/value", {"text": text})

    def screenshot(self) -> bytes:
        """The window as PNG."""
        return base64.b64decode(self.call("GET", "/screenshot"))

    def requested(self) -> list[str]:
        """Every address that a page asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        kinds = {"Network.requestWillBeSent": "request", "Network.webSocketCreated": ""}
        found = [(event["params"], kinds[event["method"]]) for event in events if event["method"] in kinds]
        return [(params[part] if part else params)["url"] for params, part in found]

    def complaints(self) -> list[str]:
        """Errors in the page's console."""
        return [entry["message"] for entry in self._log("browser") if entry["level"] == "SEVERE"]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("POST", "/se/log", {"type": kind})
        return found


@contextmanager
def browser(
    tool: Callable[[str], Path], folder: Path, size: tuple[int, int] = (1200, 760), flags: Sequence[str] = ()
) -> Iterator[Browser]:
    """A new headless Chromium with an empty profile in ``folder``; ended afterwards."""
    command = [str(tool("chromedriver")), "--port=0"]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert driver.stdout is not None
        started = (re.search(r"started successfully on port (\d+)", line) for line in driver.stdout)
        port = next(match[1] for match in started if match)
        options = {
            "binary": str(tool("chromium")),
            "args": [*FLAGS, f"--user-data-dir={folder}", f"--window-size={size[0]},{size[1]}", *flags],
        }
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"},
        }
        root = Browser(f"http://127.0.0.1:{port}")
        name = root.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        window = Browser(f"{root.session}/session/{name}")
        try:
            yield window
        finally:
            with suppress(AssertionError, OSError):
                window.call("DELETE", "")
    finally:
        driver.terminate()
        driver.wait(20)
