"""What stands in front of every page that we write: its style sheet, and that it may fetch nothing."""

from __future__ import annotations

import base64
import hashlib

from llamafile_format.reports.html_style import style_sheet
from llamafile_format.reports.markup import Markup, el


def page_head(title: str, *, style: str = "", script: str = "") -> Markup:
    """The head of a page. Its content security policy allows the style sheet, by digest, and no request at all.

    ``style`` is added to the sheet. ``script`` is one of ours that stands at the end of the body, allowed by digest.
    """
    style = style_sheet() + style
    policy = f"default-src 'none'; style-src {_digest(style)}; base-uri 'none'; form-action 'none'"
    if script:
        policy += f"; script-src {_digest(script)}"
    return el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", title),
        el("style", Markup(style)),
    )


def _digest(text: str) -> str:
    """``text`` as a content security policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
