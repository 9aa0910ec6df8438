"""The page: three files of this package, which load nothing from elsewhere and run no script of anybody else."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from importlib.resources import files

from fastapi import FastAPI, Response

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_FILES = {
    "/": ("gate.html", "text/html"),
    "/gate.js": ("gate.js", "text/javascript"),
    "/gate.css": ("gate.css", "text/css"),
}


def page_routes(app: FastAPI, levels: list[str]) -> None:
    """Give ``app`` the page, which offers ``levels``."""
    options = "".join(f"<option>{escape(level)}</option>" for level in levels)
    for path, (name, media) in _FILES.items():
        text = (
            (files("llamafile_format.service") / "static" / name).read_text("utf-8").replace("<!--levels-->", options)
        )
        app.get(path, include_in_schema=False)(_answering(text, media))


def _answering(text: str, media: str) -> Callable[[], Response]:
    def answer() -> Response:
        """One of the files."""
        return Response(text, media_type=media, headers={"Content-Security-Policy": _POLICY})

    return answer
