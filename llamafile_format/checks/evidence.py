"""What looks like a command, an address or a path in bytes that should hold none (spec/1, 7.15).

Patterns are searched, and nothing that they find is followed or run. Each begins with one of some words, which are
looked for first, and is tried there alone; what may repeat is bounded. So the time is linear in the bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from llamafile_format.checks.orders import order
from llamafile_format.checks.word_search import Words, first, folded

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
    ORDER = "order"
    UNSEEN = "unseen"


class Find(NamedTuple):
    """A find of a ``sort`` at ``at``, bytes from the start of what was searched, and its text."""

    sort: Sort
    at: int
    text: str


_INTERPRETER = (
    rb"(?:/(?:usr/)?(?:local/)?bin/)?(?:env )?(?:(?:ba|z|k|da|fi|c|tc)?sh|python[0-9.]{0,4}|perl|ruby|node|php|lua"
    rb"|osascript|pwsh|powershell(?:\.exe)?|cmd(?:\.exe)?|iex|invoke-expression)"
)
_FETCH = re.compile(
    rb"(?<![\w.-])(?:curl|wget|fetch|aria2c|iwr|irm|invoke-webrequest|invoke-restmethod|downloadstring|base64|openssl|xxd"
    rb"|printf|echo)(?![\w-])",
    re.IGNORECASE,
)
_BAR = re.compile(
    rb"\|\s{0,4}(?:sudo\s{1,4}(?:-\S{1,9}\s{1,4}){0,3})?" + _INTERPRETER + rb"(?![\w.-])",
    re.IGNORECASE,
)
_SUBSTITUTED = re.compile(
    rb"(?<![\w.-])(?:eval|source|(?:ba|z|k|da)?sh(?:\s{1,4}-\w{1,4})?|python[0-9.]{0,4}(?:\s{1,4}-\w{1,4})?)\s{1,4}"
    rb"[\"']?(?:\$\(|`|<\()\s{0,4}(?:curl|wget|fetch|base64)(?![\w-])",
    re.IGNORECASE,
)
_OPENING = tuple(re.compile(opening + rb"(?= {0,4}(?:curl|wget|fetch|base64))") for opening in (rb"\(", rb"`"))
"""Where in folded text the part of such a find begins that is put in the place of a command."""
BEFORE, BEHIND = 40, 12
"""Bytes before and from that place that the whole find may take, with one byte behind it."""

_EXPRESSION = re.compile(rb"(?<![\w.-])(?:iex|invoke-expression)\s{0,4}\(", re.IGNORECASE)
_COMMAND = re.compile(
    rb"(?<![\w.-])(?:curl|wget|aria2c)\s{1,4}(?:-\S{1,40}\s{1,4}){0,6}[\"']?(?:https?|ftp)://"
    rb"|(?<![\w.-])rm\s{1,4}-\w{0,3}[rf]\w{0,3}\s{1,4}(?:--no-preserve-root\s{1,4})?[~/$*.]"
    rb"|(?<![\w.-])(?:nc|ncat|netcat)\s{1,4}(?:\S{1,60}\s{1,4}){0,5}-e(?![\w-])|/dev/(?:tcp|udp)/"
    rb"|(?<![\w.-])chmod\s{1,4}(?:\+x|[0-7]{0,1}7[0-7]{2})(?!\w)"
    rb"|(?<![\w.-])(?:python[0-9.]{0,4}|perl|ruby|node|php)\s{1,4}-[ce](?!\w)"
    rb"|(?<![\w.-])(?:powershell|pwsh)(?:\.exe)?\s{1,4}[-/]\w"
    rb"|(?<![\w.-])(?:cmd(?:\.exe)?\s{1,4}/[ck]|certutil(?:\.exe)?\s{1,4}-\w{1,40}|bitsadmin|mshta|regsvr32|rundll32|schtasks)(?!\w)"
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
_LABEL = rb"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOSTED = re.compile(
    rb"(?:file:///|javascript:|[a-z]{3,6}://(?:[!-?A-~]{1,60}@)?(?:(?:"
    + _LABEL
    + rb"\.){1,10}(?:[a-z]{2,24}|[0-9]{1,3})"
    rb"|localhost|\[[0-9a-f:.]{2,45}\]|[0-9]{8,10}|0x[0-9a-f]{8})(?![\w\x80-\xff-]))",
    re.IGNORECASE,
)
"""An address with something that can be a host; in a program, ``https://`` often stands in front of anything."""
_HIDDEN = (
    *(b"ssh", b"aws", b"kube", b"docker", b"gnupg", b"netrc", b"pgpass", b"git-credentials"),
    *(b"bashrc", b"bash_history", b"zshrc", b"profile"),
)
_PATH = re.compile(
    rb"(?:\.\.[/\\]){2,20}|/etc/(?:passwd|shadow|sudoers|cron|ld\.so|hosts(?!\w))|/proc/(?:self|[0-9]{1,7})/"
    rb"|(?<!\w)\.(?:" + b"|".join(_HIDDEN) + rb")(?![\w.])"
    rb"|(?<!\w)id_(?:rsa|ed25519|ecdsa|dsa)(?!\w)|[\\/]windows[\\/]system32|%(?:appdata|temp|userprofile|systemroot)%"
    rb"|(?<![\\\w])\\\\[\w.-]{2,60}\\[\w$.-]{2,60}|/(?:Library|System)/Launch(?:Agents|Daemons)/",
    re.IGNORECASE,
)
_COMMANDS = Words(
    {
        b"c": (
            *(b"curl ", b"aria2c ", b"nc ", b"ncat ", b"netcat ", b"chmod ", b"cmd ", b"cmd.exe ", b"certutil"),
            *(
                b"schtasks",
                b"crontab ",
                b"os.exec",
                b"subprocess.",
                b"exec ",
                b"exec(",
                b"pickle.load",
                b"socket.socket",
            ),
        ),
        b"p": (b"python", b"perl ", b"php ", b"powershell", b"pwsh", b"openssl ", b"os.popen", b"pty.spawn"),
        b"m": (b"rm ", b"mshta", b"os.system", b"__import__", b"marshal.load"),
        b"b": (b"ruby ", b"bitsadmin", b"base64 ", b"/bin/", b"joblib.load", b"urllib.request."),
        b"v": (b"/dev/tcp/", b"/dev/udp/", b"regsvr32", b"eval ", b"eval("),
        b"d": (b"node ", b"rundll32", b"dill.load"),
        b"w": (b"wget ",),
        b"q": (b"requests.",),
    }
)
_PATHS = Words(
    {
        b".": (b"../", b"..\\", *(b"." + name for name in _HIDDEN)),
        b"/": (b"/etc/", b"/proc/", b"/windows", b"/library/launch", b"/system/launch"),
        b"\\": (b"\\windows", b"\\\\"),
        b"_": (b"id_rsa", b"id_ed25519", b"id_ecdsa", b"id_dsa"),
        b"%": (b"%appdata%", b"%temp%", b"%userprofile%", b"%systemroot%"),
    }
)
_SCHEMES = (b"http", b"https", b"ftp", b"ftps", b"file", b"smb", b"ssh", b"gopher", b"ldap", b"ldaps")
_ADDRESSES = Words({b":": (*(scheme + b"://" for scheme in _SCHEMES), b"javascript:")})
_EXPRESSIONS = Words({b"x": (b"iex ", b"iex(", b"invoke-expression")})


_UNSEEN = re.compile(
    rb"\xe2\x80[\x8b\xaa-\xae]|\xe2\x81[\xa0-\xa4\xa6-\xa9]|(?<!\A)\xef\xbb\xbf"
    rb"|(?<!\xf0\x9f\x8f\xb4)(?<!\xf3\xa0[\x80\x81][\x80-\xbf])\xf3\xa0[\x80\x81][\x80-\xbf]"
)
"""U+200B, U+202A-202E, U+2060-2064, U+2066-2069, U+FEFF but at the start, U+E0000-E007F but in flags of regions.
Marks of direction and joiners are needed in some scripts, and in pictures."""


def search(data: bytes, *, documents: bool = False, program: bool = False) -> Iterator[Find]:
    """The first find of each sort in ``data``; in ``documents``, where links are usual, of unusual addresses alone; in
    a ``program``, of those with what can be a host, and nothing that is meant for readers."""
    low = folded(data)
    for sort, at in (
        (Sort.PIPELINE, _pipeline(data, low)),
        (Sort.COMMAND, first(_COMMAND, _COMMANDS, data, low)),
        (Sort.ADDRESS, _address(data, low, _UNUSUAL if documents else _HOSTED if program else None)),
        (Sort.PATH, first(_PATH, _PATHS, data, low)),
    ):
        if at >= 0:
            yield Find(sort, at, shown(data[at : at + SHOWN]))
    if not program:
        if (at := order(data, low)) >= 0:
            yield Find(Sort.ORDER, at, shown(data[at : at + SHOWN]))
        if found := _UNSEEN.search(data):
            yield Find(Sort.UNSEEN, found.start(), f"U+{ord(found.group().decode()):04X}")


def _pipeline(data: bytes, low: bytes) -> int:
    """Where what is fetched, or unpacked, and goes into an interpreter begins; -1 if nowhere."""
    behind = 0
    for bar in _BAR.finditer(data):
        start = max(behind, bar.start() - LINE)
        line = max(start, data.rfind(b"\n", start, bar.start()))
        fetched = [found.start() for found in _FETCH.finditer(data, line, bar.start())]
        if fetched:
            return fetched[-1]
        behind = bar.end()
    found = [at for at in (_substituted(data, low), first(_EXPRESSION, _EXPRESSIONS, data, low)) if at >= 0]
    return min(found, default=-1)


def _substituted(data: bytes, low: bytes) -> int:
    """Where an interpreter begins that is given what is fetched in its place; -1 if nowhere."""
    places = sorted(found.start() for opening in _OPENING for found in opening.finditer(low))
    for at in places:
        found = _SUBSTITUTED.search(data, max(0, at - BEFORE), at + BEHIND)
        if found is not None and found.start() <= at:
            return found.start()
    return -1


def _address(data: bytes, low: bytes, worth: re.Pattern[bytes] | None) -> int:
    """Where the first address begins that is ``worth`` telling, -1 if there is none. What stands inside of another is
    none of its own."""
    end = 0
    for start in _ADDRESSES.starts(low):
        found = _ADDRESS.match(data, start) if start >= end else None
        if found is not None:
            if worth is None or worth.match(found.group()):
                return start
            end = found.end()
    return -1


def shown(data: bytes) -> str:
    """``data`` as a report repeats it: on one line, and nothing in it that a terminal obeys."""
    text = data.decode("utf-8", "replace")
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
