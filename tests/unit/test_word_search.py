"""Commands, addresses and paths are found as a plain search finds them, from words at which they begin (7.15)."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llamafile_format.checks import evidence
from llamafile_format.checks.evidence import LINE, Sort, search
from llamafile_format.checks.word_search import Words, folded

GROUPS = {name: words for name, words in vars(evidence).items() if isinstance(words, Words)}
PIECES = (
    *(b"curl", b"wget ", b"aria2c", b"rm ", b"nc", b"ncat", b"netcat ", b"/dev/tcp/", b"chmod +x", b"python3", b"perl"),
    *(b"node", b"php", b"powershell", b"pwsh", b"cmd.exe", b"cmd", b"certutil.exe", b"mshta", b"regsvr32", b"rundll32"),
    *(b"base64", b"openssl enc", b"/bin/sh", b"crontab", b"os.system", b"os.execvpe", b"subprocess.", b"run", b"call"),
    *(b"__import__", b"eval", b"exec", b"pickle.load", b"socket.socket", b"requests.get", b"urllib.request."),
    *(b"http://", b"https://a.b/c", b"ftp://", b"file://", b"javascript:", b"127.0.0.1", b"10.0.0.1", b"../", b"..\\"),
    *(b"/etc/passwd", b"/etc/hosts", b"/proc/self/", b"\\\\host\\share", b"\\windows\\system32", b"/Windows/System32"),
    *(b".ssh", b".bash_history", b"id_rsa", b"%temp%", b"/Library/LaunchAgents/", b"iex", b"Invoke-Expression"),
    *(b"source", b"sh", b"bash", b"fetch", b"echo", b"sudo -E -", b"env ", b"-e", b"-c", b"-d", b"-enc", b"-rf", b"s"),
    *(b"|", b"| ", b"$(", b"`", b"<(", b"(", b"/", b"-", b".", b'"', b"'", b"x", b"\0", b"\xff", b"~", b"755"),
    *(b" ", b" ", b" ", b"\t", b"\n", b"\r\n", b" " * 4, b" " * 5, b" " * 390),
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join)
FLOW = re.compile(
    rb"(?P<line>\n)|(?P<fetch>" + evidence._FETCH.pattern + rb")|(?P<bar>" + evidence._BAR.pattern + rb")",
    re.IGNORECASE,
)


def plainly(data: bytes, *, documents: bool) -> Iterator[tuple[Sort, int]]:
    """The same finds by expressions that are tried at every byte."""
    fetched, pipeline = -LINE - 1, None
    for found in FLOW.finditer(data):
        if found["line"]:
            fetched = -LINE - 1
        elif found["fetch"]:
            fetched = found.start()
        elif found.start() - fetched <= LINE:
            pipeline = fetched
            break
    if pipeline is None:
        given = [evidence._SUBSTITUTED.search(data), evidence._EXPRESSION.search(data)]
        pipeline = min((found.start() for found in given if found is not None), default=None)
    if pipeline is not None:
        yield Sort.PIPELINE, pipeline
    if (found := evidence._COMMAND.search(data)) is not None:
        yield Sort.COMMAND, found.start()
    for address in evidence._ADDRESS.finditer(data):
        if not documents or evidence._UNUSUAL.match(address.group()):
            yield Sort.ADDRESS, address.start()
            break
    if (found := evidence._PATH.search(data)) is not None:
        yield Sort.PATH, found.start()


@settings(max_examples=400)
@given(TEXTS, st.booleans(), st.booleans())
@example(b"echo" + b" " * 396 + b"| sh", False, False)
@example(b"http://a.b/ftp://c.d/", True, False)
@example(b"a | sudo -;curl sh | sh", False, False)
@example(b"sh `curl_`curl`", False, False)
def test_what_is_found_is_what_a_plain_search_finds(data: bytes, documents: bool, upper: bool) -> None:
    data = data.upper() if upper else data
    found = [(each.sort, each.at) for each in search(data, documents=documents)]
    assert found == list(plainly(data, documents=documents))


@pytest.mark.parametrize("name", GROUPS)
@given(data=st.data())
def test_every_word_is_found_wherever_it_stands(name: str, data: st.DataObject) -> None:
    words = [word for group in GROUPS[name].groups for word in group.words]
    pieces = st.lists(st.sampled_from([*words, *(word[:-1] for word in words), b"x"]), max_size=12)
    low = folded(b"".join(data.draw(pieces)))
    wanted = {found.start() for word in words for found in re.finditer(b"(?=%b)" % re.escape(word), low)}
    assert GROUPS[name].starts(low) == sorted(wanted)


def test_the_groups_are_those_that_the_search_uses() -> None:
    assert len(GROUPS) >= 4


def test_noise_has_words_nowhere() -> None:
    for seed in range(20):
        data = random.Random(seed).randbytes(1 << 14)
        assert [(each.sort, each.at) for each in search(data)] == list(plainly(data, documents=False))
