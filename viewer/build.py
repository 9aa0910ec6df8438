"""Concatenate the page's modules into one HTML file: ``python -m viewer.build [-o PAGE]``. One tree, one page.

Modules are plain ES2020 with named imports from ``./…`` alone. Three kinds of import lines are replaced, nothing else:

- ``import { a, b } from "./zip.js";`` becomes ``const { a, b } = module_zip;``: a function around each module keeps its
  names apart from those of the others, and gives what it exports;
- ``import TEXT from "./worker.js?text";`` becomes a string: that module with all that it imports (a worker's script);
- ``import DATA from "data:rules";`` becomes the JSON of a table of :mod:`viewer.data`.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from viewer.data import table

HERE = Path(__file__).resolve().parent
IMPORT = re.compile(r'^import (?:(?P<names>\{[^}]*\})|(?P<name>\w+)) from "(?P<path>[^"]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|const|let|class) (?P<name>\w+))", re.MULTILINE)
POLICY = (
    "default-src 'none'; script-src 'sha256-{script}' 'wasm-unsafe-eval'; style-src 'sha256-{style}'; "
    "worker-src blob:; connect-src {connect}; img-src data:; base-uri 'none'; form-action 'none'"
)


class BuildError(Exception):
    """A module breaks the rules above."""


def bundle(entry: Path) -> str:
    """One classic script in strict mode: ``entry`` and all that it imports, each once, what is imported first."""
    parts: list[str] = []
    seen: dict[Path, bool] = {}
    _gather(entry.resolve(), seen, parts)
    return '"use strict";\n' + "\n".join(parts)


def page(connect: str = "'none'") -> str:
    """The whole page. ``connect`` is the only thing that a served copy may differ in: what it may connect to."""
    style = "\n" + (HERE / "page.css").read_text("utf-8")
    script = "\n" + bundle(HERE / "main.js")
    for text, end in ((style, "</style"), (script, "</script"), (script, "<!--")):
        if end in text.lower():
            raise BuildError(f"{end!r} would end its element")
    policy = POLICY.format(script=_digest(script), style=_digest(style), connect=connect)
    html = (HERE / "page.html").read_text("utf-8")
    for mark, text in (("{{policy}}", policy), ("{{style}}", style), ("{{script}}", script)):
        before, _, after = html.partition(mark)
        html = before + text + after
    return html


def _gather(path: Path, seen: dict[Path, bool], parts: list[str]) -> None:
    if path in seen:
        if not seen[path]:
            raise BuildError(f"{path.name} imports itself by way of others")
        return
    seen[path] = False
    source = path.read_text("utf-8")
    for wanted in _modules(path, source):
        _gather(wanted, seen, parts)
    text = EXPORT.sub("", IMPORT.sub(lambda match: _replaced(path, match), source))
    if stray := re.search(r"^(?:import|export)\b.*", text, re.MULTILINE):
        raise BuildError(f"{path.name}: {stray[0]}")
    given = ", ".join(match["name"] for match in EXPORT.finditer(source))
    parts.append(f"const {_name(path)} = (() => {{\n{text}return {{ {given} }};\n}})();\n")
    seen[path] = True


def _modules(path: Path, source: str) -> Iterator[Path]:
    for match in IMPORT.finditer(source):
        if match["path"].startswith(".") and not match["name"]:
            yield (path.parent / match["path"]).resolve()


def _name(path: Path) -> str:
    """``module_view_dom`` for ``view/dom.js``."""
    return "module_" + re.sub(r"\W", "_", path.relative_to(HERE).with_suffix("").as_posix())


def _replaced(path: Path, match: re.Match[str]) -> str:
    name, wanted = match["name"], match["path"]
    if not name:
        return f"const {match['names']} = {_name((path.parent / wanted).resolve())};\n"
    if wanted.startswith("data:"):
        value: object = table(wanted.removeprefix("data:"))
    elif wanted.endswith("?text"):
        value = bundle((path.parent / wanted.removesuffix("?text")).resolve())
    else:
        raise BuildError(f"{path.name}: {match[0]}")
    # "<" is written as an escape so that no string of a table can end the script.
    return (
        f"const {name} = {json.dumps(value, sort_keys=True, separators=(',', ':')).replace('<', chr(92) + 'u003c')};\n"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def main() -> None:
    """Write the page to a file or to standard output."""
    parser = argparse.ArgumentParser(description="Concatenate the modules of the viewer into one HTML file.")
    parser.add_argument("-o", "--output", type=Path)
    output = parser.parse_args().output
    data = page().encode()
    if output is None:
        sys.stdout.buffer.write(data)
    else:
        output.write_bytes(data)


if __name__ == "__main__":
    main()
