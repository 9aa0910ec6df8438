"""The page's build: the same tree gives the same bytes, scripts by hash, nothing from anywhere."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from viewer.build import HERE, bundle, page


def test_the_same_tree_gives_the_same_bytes() -> None:
    assert page() == page()


def test_its_policy_names_its_script_and_style() -> None:
    text = page()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy
    for tag in ("script", "style"):
        body = re.search(rf"<{tag}>(.*)</{tag}>", text, re.DOTALL)
        assert body
        digest = base64.b64encode(hashlib.sha256(body[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]
    for part in ("default-src 'none'", "'wasm-unsafe-eval'", "worker-src blob:", "connect-src 'none'"):
        assert part in policy[1]
    assert "unsafe-inline" not in policy[1]


PLACES = {
    "fetch(": {"served.js"},
    "XMLHttp": {"worker.js"},
    "outerHTML": {"own.js"},
    "eval(": {"program_words.js"},
}
"""Where a word is meant: a served copy reads its file from its own origin, the page reads its own text, and looks for
the word in programs (a content security policy without ``unsafe-eval`` keeps it from being more than a word)."""


@pytest.mark.parametrize(
    "word",
    [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "fetch(",
        "XMLHttp",
        "import(",
        "new Function",
    ],
)
def test_nothing_in_it_parses_markup_or_asks_for_anything(word: str) -> None:
    found = {path.name for path in HERE.rglob("*.js") if word in path.read_text("utf-8")}
    assert found == PLACES.get(word, set())
    assert not re.search(r"outerHTML\s*=", bundle(HERE / "main.js"))
    assert not re.search(r"(?:src|href)=[\x22']|url\(|@import", page())
