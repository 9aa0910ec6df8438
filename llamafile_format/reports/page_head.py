"""What stands in front of every page that we write: its style sheet, and that it may fetch nothing."""

from __future__ import annotations

import base64
import hashlib

from llamafile_format.reports.html_style import style_sheet
from llamafile_format.reports.markup import Markup, el


def page_head(title: str) -> Markup:
    """The head of a page. Its content security policy allows the style sheet, by digest, and no request at all."""
    style = style_sheet()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
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
