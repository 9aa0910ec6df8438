"""What looks like a command, an address or a path in bytes that should hold none (spec/1, 7.15).

Patterns are searched, and nothing that they find is followed or run. Each is linear in the bytes that it reads: what
may repeat is bounded, and what stands before a bar is looked for behind it, never by trying again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

LINE = 400
"""Bytes before a bar in which the command stands whose output goes through it."""

SHOWN = 80
"""Bytes of a find that a report repeats."""


class Sort(Enum):
    """What was found."""

    PIPELINE = "pipeline"
    COMMAND = "command"
    ADDRESS = "address"
    PATH = "path"


class Find(NamedTuple):
    """A find of a ``sort`` at ``at``, bytes from the start of what was searched, and its text."""

    sort: Sort
    at: int
    text: str


_INTERPRETER = (
    rb"(?:/(?:usr/)?(?:local/)?bin/)?(?:env )?(?:(?:ba|z|k|da|fi|c|tc)?sh|python[0-9.]{0,4}|perl|ruby|node|php|lua"
    rb"|osascript|pwsh|powershell(?:\.exe)?|cmd(?:\.exe)?|iex|invoke-expression)"
)
_FETCH = (
    rb"curl|wget|fetch|aria2c|iwr|irm|invoke-webrequest|invoke-restmethod|downloadstring|base64|openssl|xxd|printf|echo"
)
_FLOW = re.compile(
    rb"(?P<line>\n)|(?<![\w.-])(?P<fetch>" + _FETCH + rb")(?![\w-])"
    rb"|\|\s{0,4}(?:sudo\s{1,4}(?:-\S{1,9}\s{1,4}){0,3})?(?P<bar>" + _INTERPRETER + rb")(?![\w.-])",
    re.IGNORECASE,
)
_SUBSTITUTED = re.compile(
    rb"(?<![\w.-])(?:eval|source|(?:ba|z|k|da)?sh(?:\s{1,4}-\w{1,4})?|python[0-9.]{0,4}(?:\s{1,4}-\w{1,4})?)\s{1,4}"
    rb"[\"']?(?:\$\(|`|<\()\s{0,4}(?:curl|wget|fetch|base64)(?![\w-])"
    rb"|(?<![\w.-])(?:iex|invoke-expression)\s{0,4}\(",
    re.IGNORECASE,
)
_COMMAND = re.compile(
    rb"(?<![\w.-])(?:curl|wget|aria2c)\s{1,4}(?:-\S{1,40}\s{1,4}){0,6}[\"']?(?:https?|ftp)://"
    rb"|(?<![\w.-])rm\s{1,4}-\w{0,3}[rf]\w{0,3}\s{1,4}(?:--no-preserve-root\s{1,4})?[~/$*.]"
    rb"|(?<![\w.-])(?:nc|ncat|netcat)\s{1,4}(?:\S{1,60}\s{1,4}){0,5}-e(?![\w-])|/dev/(?:tcp|udp)/"
    rb"|(?<![\w.-])chmod\s{1,4}(?:\+x|[0-7]{0,1}7[0-7]{2})(?!\w)"
    rb"|(?<![\w.-])(?:python[0-9.]{0,4}|perl|ruby|node|php)\s{1,4}-[ce](?!\w)"
    rb"|(?<![\w.-])(?:powershell|pwsh)(?:\.exe)?\s{1,4}[-/]\w"
    rb"|(?<![\w.-])(?:cmd(?:\.exe)?\s{1,4}/[ck]|certutil(?:\.exe)?\s{1,4}-\w|bitsadmin|mshta|regsvr32|rundll32|schtasks)(?!\w)"
    rb"|(?<![\w.-])(?:base64|openssl)\s{1,4}(?:enc\s{1,4})?-{1,2}d(?:ecode)?(?!\w)"
    rb"|(?<![\w.-])/bin/(?:ba|z|da)?sh(?!\w)|(?<!\w)crontab\s{1,4}-"
    rb"|(?<!\w)(?:os\.(?:system|popen|exec[lv]p?e?)|subprocess\.(?:Popen|run|call|check_output|check_call)|pty\.spawn)\s{0,4}\("
    rb"|(?<![\w.])(?:__import__|eval|exec)\s{0,4}\(|(?<!\w)(?:pickle|marshal|dill|joblib)\.loads?\s{0,4}\("
    rb"|(?<!\w)socket\.socket\s{0,4}\(|(?<!\w)urllib\.request\.|(?<!\w)requests\.(?:get|post|put)\s{0,4}\(",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    rb"(?<!\w)(?:https?|ftps?|file|smb|ssh|gopher|ldaps?)://[^\s\"'<>\\^`{|}]{2,200}|(?<!\w)javascript:[a-z(]",
    re.IGNORECASE,
)
_UNUSUAL = re.compile(
    rb"https?://(?!127\.0\.0\.1|0\.0\.0\.0|localhost)(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[)|(?!https?)[a-z]{2,}:",
    re.IGNORECASE,
)
_PATH = re.compile(
    rb"(?:\.\.[/\\]){2,20}|/etc/(?:passwd|shadow|sudoers|cron|ld\.so|hosts(?!\w))|/proc/(?:self|[0-9]{1,7})/"
    rb"|(?<!\w)\.(?:ssh|aws|kube|docker|gnupg|netrc|pgpass|git-credentials|bashrc|bash_history|zshrc|profile)(?![\w.])"
    rb"|(?<!\w)id_(?:rsa|ed25519|ecdsa|dsa)(?!\w)|[\\/]windows[\\/]system32|%(?:appdata|temp|userprofile|systemroot)%"
    rb"|(?<![\\\w])\\\\[\w.-]{2,60}\\[\w$.-]{2,60}|/(?:Library|System)/Launch(?:Agents|Daemons)/",
    re.IGNORECASE,
)


def search(data: bytes, *, documents: bool = False) -> Iterator[Find]:
    """The first find of each sort in ``data``; in ``documents``, where links are usual, of unusual addresses alone."""
    pipeline = _pipeline(data)
    if pipeline is not None:
        yield pipeline
    found = _COMMAND.search(data)
    if found is not None:
        yield _find(Sort.COMMAND, data, found.start())
    for address in _ADDRESS.finditer(data):
        if not documents or _UNUSUAL.match(address.group()):
            yield _find(Sort.ADDRESS, data, address.start())
            break
    found = _PATH.search(data)
    if found is not None:
        yield _find(Sort.PATH, data, found.start())


def _pipeline(data: bytes) -> Find | None:
    """What is fetched, or unpacked, and goes into an interpreter."""
    fetched = -LINE - 1
    for found in _FLOW.finditer(data):
        if found["line"]:
            fetched = -LINE - 1
        elif found["fetch"]:
            fetched = found.start()
        elif found.start() - fetched <= LINE:
            return _find(Sort.PIPELINE, data, fetched)
    given = _SUBSTITUTED.search(data)
    return _find(Sort.PIPELINE, data, given.start()) if given is not None else None


def _find(sort: Sort, data: bytes, at: int) -> Find:
    return Find(sort, at, shown(data[at : at + SHOWN]))


def shown(data: bytes) -> str:
    """``data`` as a report repeats it: on one line, and nothing in it that a terminal obeys."""
    text = data.decode("utf-8", "replace")
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
