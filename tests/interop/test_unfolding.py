"""Grammars and schemas that unfold: counted before anything is written out, so that nobody waits (spec/1, 14.6.14)."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llamafile_format.checks.grammars import MAX_UNFOLDED, check_grammar
from tests.boxed import compiled
from tests.interop.test_two_processes import inner_of
from tests.new_engine import RUNTIMES, pin_of
from tests.runtime_server import Answer, Server, cache_of, environment, pack, run, served

pytestmark = [pytest.mark.slow, pytest.mark.interop]

ROOM = 100 << 10  # KiB of memory that a refused request may cost
SOON = 5.0  # seconds; one second on a machine that does nothing else

LONG = '"' + "a" * 15000 + '"'
NEVER = "(" * 200000 + '"a"' + ")" * 200000

UNFOLDS = {
    "fewer than the least": 'root ::= "a"{5,1}',
    "none, and at least five": 'root ::= "a"{5,0}',
    "fewer in brackets": 'root ::= ("b" ("a"{5,1}))+',
    "fewer with blanks": 'root ::= "a" { 5 , 1 }',
    "a long text": f"root ::= {LONG}{{2000}}",
    "a long text or none": f"root ::= {LONG}{{0,2000}}",
    "a long text without end": f"root ::= {LONG}{{2000,}}",
    "many texts": "root ::= " + " ".join('"' + "a" * 1000 + '"{2000}' for _ in range(30)),
    "two hundred kilobytes": "root ::= " + " ".join('"' + "ab" * 48 + '"{2000}' for _ in range(1900)),
    "a class": "root ::= [" + "a-b" * 5000 + "]{2000}",
    "one in the other": 'root ::= ((("a"{100}){100}){100})',
    "twice over": 'root ::= "a"{1000}{1000}',
    "a rule for each": "root ::= " + '"a"{0,2000} ' * 5000,
    "more digits than a number has": 'root ::= "a"{99999999999999999999999999}',
    "more than the engine repeats": 'root ::= "a"{2001}',
    "long names of rules": "root ::= " + "n" * 300000 + "\n" + "n" * 300000 + " ::= " + '"a"? ' * 9000,
    "brackets behind a comment that a return ends": f'root ::= "a"\n#\r x ::= {NEVER}',
    "alternatives beside one another": "root ::= " + " | ".join(f'"a{i}"' for i in range(80000)),
    "a quote that is a token": f'root ::= <[34]> <">{NEVER}',
}
FINE = {
    "words": 'root ::= ("clock" | "lamp"){1,3} [.!]?',
    "lines": 'root ::= item (", " item){0,9}  # ten {5,1}\nitem ::= [a-z]{1,40} | "{5,1}"',
    "no end": 'root ::= "a"{3,} "b"* [c]+',
    "classes": r'root ::= [^"\\]{0,100} [\]{5,1}"]',
    "more than the engine counts": 'root ::= "a"{0,100000}',
    "tokens": "root ::= <[34]> !<[35]>",
}


@pytest.fixture(scope="module")
def count(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program of the runtime's own count."""
    main = Path(__file__).with_name("unfolding.cpp")
    source = pin_of(RUNTIMES).folder / "source"
    return compiled(tmp_path_factory.mktemp("count"), main, source / "unfolding.cpp", headers=source)


def said(count: Path, *grammars: str) -> list[str]:
    """What the count says of each; nothing of what it lets pass."""
    text = "".join(f"{each}\0" for each in grammars).encode()
    ran = subprocess.run([count], input=text, capture_output=True, check=True, timeout=60)
    return ran.stdout.decode().splitlines()


def test_what_unfolds_is_counted_and_not_written_out(count: Path) -> None:
    begun = time.monotonic()
    for name, why in zip(UNFOLDS, said(count, *UNFOLDS.values()), strict=True):
        assert why.startswith("the grammar "), (name, why)
    assert time.monotonic() - begun < SOON
    assert said(count, *FINE.values()) == [""] * len(FINE)


def test_the_librarys_judgement_of_a_files_grammar_is_no_milder(count: Path) -> None:
    """What the runtime refuses of a client's, no file may bring."""
    for name, why in zip(UNFOLDS, said(count, *UNFOLDS.values()), strict=True):
        assert check_grammar(UNFOLDS[name].encode()), (name, why)


def test_the_bound_is_met_to_the_element(count: Path) -> None:
    def of(times: int) -> str:
        return f'root ::= "{"a" * 100}"{{{times}}}'

    most = (MAX_UNFOLDED + len(of(656))) // 100
    assert said(count, of(most), of(most + 1))[0] == ""
    assert "written out" in said(count, of(most + 1))[0]


# The packed engine


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exhibit with the newest engine."""
    return pack(tmp_path_factory.mktemp("unfolding") / "x.llamafile")


@pytest.fixture(scope="module")
def server(packed: Path) -> Iterator[Server]:
    """It, served."""
    with served(packed, "--no-browser") as started:
        yield started


def memory(server: Server) -> int:
    """The most that the engine has used, KiB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{inner_of(server)}/status").read_text())
    assert found
    return int(found[1])


def ask(server: Server, path: str = "/completion", **body: Any) -> Answer:
    return server.request("POST", path, {"prompt": "a", "n_predict": 1} | body)


def refused(server: Server, path: str = "/completion", **body: Any) -> str:
    """Why, after it was seen that nothing else came of it."""
    assert ask(server).status == 200
    engine, before, begun = inner_of(server), memory(server), time.monotonic()
    answer = ask(server, path, **body)
    assert answer.status == 400, answer.body[:300]
    assert time.monotonic() - begun < SOON
    assert memory(server) < before + ROOM
    assert ask(server).status == 200
    assert inner_of(server) == engine
    return str(answer.json()["error"]["message"])


@pytest.mark.parametrize("name", UNFOLDS)
def test_a_grammar(server: Server, name: str) -> None:
    assert "the grammar " in refused(server, grammar=UNFOLDS[name])


@pytest.mark.parametrize("name", [name for name in FINE if name != "tokens"])
def test_a_grammar_that_is_served(server: Server, name: str) -> None:
    assert ask(server, grammar=FINE[name]).status == 200


def nested(depth: int, key: str, inner: dict[str, Any]) -> dict[str, Any]:
    for _ in range(depth):
        inner = {"type": "object", "properties": {key: inner}}
    return inner


def chain(links: int, last: dict[str, Any]) -> dict[str, Any]:
    return {
        "$ref": "#/$defs/d0",
        "$defs": {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(links)} | {f"d{links}": last},
    }


TEXT: dict[str, Any] = {"type": "string"}
MANY = {f"p{i}": TEXT | {"pattern": "^a{1,20}b?$"} for i in range(400)}
WIDE = {"type": "object", "properties": {f"q{i}": TEXT for i in range(500)}}
TYPES: dict[str, Any] = {"type": "string"}
for _ in range(25):
    TYPES = {"type": ["object", "object", "object"], "properties": {"a": TYPES}}

SCHEMAS: dict[str, dict[str, Any]] = {
    "fewer letters than the least": TEXT | {"minLength": 5, "maxLength": 1},
    "fewer items than the least": {"type": "array", "items": TEXT, "minItems": 50, "maxItems": 3},
    "a number between nothing": {"type": "integer", "minimum": 5, "maximum": 1},
    "a number of too many digits": {"type": "integer", "minimum": 9223372036854775807},
    "a thousand million items": {"type": "array", "items": TEXT, "minItems": 1000000000},
    "a thousand million letters": TEXT | {"minLength": 1000000000},
    "more letters than a number holds": TEXT | {"minLength": 4294967297},
    "a most that no number holds": TEXT | {"maxLength": 4294967297},
    "a pattern": TEXT | {"pattern": "^a{5,1}$"},
    "alternatives in a pattern": TEXT | {"pattern": "^((a|b|c){20}|(d|e){5,1})$"},
    "many patterns": {"type": "object", "properties": {"a": {"type": "object", "properties": MANY}}},
    "long names one in the other": nested(25, "k" * 40000, TEXT),
    "names one in the other": nested(25, "k" * 200, {"anyOf": [WIDE] * 10}),
    "a name that is followed letter by letter": {
        "type": "object",
        "properties": {"a" * 200000: TEXT},
        "additionalProperties": {"type": "integer"},
    },
    "references one after the other": chain(30000, TEXT),
    "references in a circle": {"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"$ref": "#/$defs/a"}}},
    "types that double": TYPES,
    "wide objects one beside the other": {"allOf": [WIDE] * 100},
    "many values": {"enum": ["x" * 99] * 50_000},
    "a long value": {"const": '\n"' * 4_000_000},
    "a list of what is required": {"type": "object", "properties": {"a": TEXT}, "required": ["b"] * 500_000},
    "long names beside one another": {
        "type": "object",
        "properties": {f"{i:03}" + "a" * 250: TEXT for i in range(512)},
        "additionalProperties": TEXT,
    },
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema(server: Server, name: str) -> None:
    assert refused(server, json_schema=SCHEMAS[name])


@pytest.mark.parametrize("name", ["a pattern", "fewer letters than the least", "types that double"])
def test_a_schema_at_every_door(server: Server, name: str) -> None:
    messages = [{"role": "user", "content": "a"}]
    chat: dict[str, Any] = {"messages": messages, "max_tokens": 1}
    schema = {"json_schema": {"name": "x", "schema": SCHEMAS[name]}}
    assert refused(server, "/v1/chat/completions", **chat, response_format={"type": "json_schema"} | schema)
    assert refused(server, "/v1/chat/completions", **chat, json_schema=SCHEMAS[name])
    if name != "a pattern":
        tool = {"type": "function", "function": {"name": "f", "parameters": SCHEMAS[name]}}
        assert refused(server, "/v1/chat/completions", **chat, tools=[tool])


def test_a_schema_that_is_served(server: Server) -> None:
    schema = {
        "type": "object",
        "properties": {
            "y": TEXT | {"maxLength": 10000},
            "z": {"type": "array", "items": {"$ref": "#/$defs/n"}, "minItems": 1, "maxItems": 5},
            "t": {"type": ["string", "null"], "minLength": 1},
        },
        "required": ["y"],
        "$defs": {"n": {"type": "integer", "minimum": -9007199254740991, "maximum": 9007199254740991}},
    }
    assert ask(server, json_schema=schema).status == 200
    assert ask(server, json_schema=chain(200, TEXT)).status == 200


ENDLESS = {"parsers": [{"type": "sequence", "children": [0]}], "rules": {}, "root": 0}
OWN_WORDS: dict[str, dict[str, Any]] = {
    "a kind of trigger that there is not": {"grammar_triggers": [{"type": 99, "value": "x"}]},
    "a token that there is not": {"grammar_triggers": [{"type": 0, "value": "x", "token": -5}]},
    "the engine's own parser": {"chat_parser": json.dumps(ENDLESS)},
}


@pytest.mark.parametrize("name", OWN_WORDS)
def test_what_only_the_engine_says_to_itself(server: Server, name: str) -> None:
    assert refused(server, grammar='root ::= "a"', grammar_lazy=True, **OWN_WORDS[name])


FORM = '--x\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'


@pytest.mark.parametrize("path", ["/completion", "/v1/completions", "/apply-template", "/v1/audio/transcriptions"])
@pytest.mark.parametrize("name", ["chat_parser", "grammar"])
def test_a_form_is_no_way_around_the_gate(server: Server, path: str, name: str) -> None:
    """Upstream makes an object of it, at every door."""
    engine = inner_of(server)
    value = json.dumps(ENDLESS) if name == "chat_parser" else UNFOLDS["fewer than the least"]
    body = (FORM.format("prompt", "a") + FORM.format(name, value) + "--x--\r\n").encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        answer = connection.makefile("rb").read()
    assert b" 400 " in answer.splitlines()[0]
    reason = b"for the engine to say" if name == "chat_parser" else b"the grammar repeats"
    assert (reason if "transcriptions" in path else b"send JSON") in answer
    assert inner_of(server) == engine


@pytest.mark.parametrize(
    "tools", ["x", 1, {"a": 1}, [1], [{"type": "x"}], [{"type": "function", "function": {"name": 5}}]]
)
def test_tools_of_another_kind_are_the_clients_fault(server: Server, tools: Any) -> None:
    assert refused(server, "/v1/chat/completions", messages=[{"role": "user", "content": "a"}], tools=tools)


FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "no messages": ("/v1/messages", {}),
    "a message of nobody": ("/apply-template", {"messages": [{"content": "a"}]}),
    "a kind of thought": (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "a"}], "reasoning_format": "x"},
    ),
    "a letter that there is not": ("/completion", {"grammar": 'root ::= "\\U99999999"'}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_clients_fault_is_no_fault_of_the_servers(server: Server, name: str) -> None:
    path, body = FAULTS[name]
    assert refused(server, path, **body)


def test_an_object_of_more_names_than_anybody_compares(server: Server) -> None:
    assert "names" in refused(server, more={f"n{i}": i for i in range(200_000)})


def test_what_a_client_sends_does_not_reach_the_terminal(server: Server) -> None:
    evil = "\x1b[31mEVIL\x07\u009b\u202e\nllamafile: forged"
    before = len(server.log.read_bytes())
    ask(server, grammar=f'root ::= "{evil}" (')
    ask(server, grammar=f"{evil} ::= ")
    ask(server, json_schema=TEXT | {"pattern": f"^(?={evil})$"})
    ask(server, grammar='root ::= "a"', grammar_lazy=True, grammar_triggers=[{"type": 2, "value": f"[{evil}"}])
    ask(server, samplers=[evil], reasoning_format=evil)
    printed = server.log.read_bytes()[before:]
    assert b"\\x1b[31mEVIL\\x07" in printed
    assert not re.search(
        rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80\xae|^llamafile: forged", printed, re.MULTILINE
    )


# Bodies, names

HEAD = b"POST /completion HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %b\r\n\r\n"


@pytest.mark.parametrize("length", ["2000000000000", "000000300000000", "99999999999999999999999999"])
def test_a_body_that_is_too_long_is_refused_by_its_headers(server: Server, length: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(HEAD % length.encode())
        begun = time.monotonic()
        assert b" 413 " in connection.recv(1000)
        assert time.monotonic() - begun < SOON
    assert ask(server).status == 200


def test_who_sends_it_all_gets_the_answer(server: Server) -> None:
    size = 300 << 20
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(HEAD % str(size).encode())
        piece = b" " * (1 << 20)
        for _ in range(size >> 20):
            connection.sendall(piece)
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert ask(server).status == 200


@pytest.mark.parametrize("option", ["--hf-repo", "--hf_repo", "-hfr", "--model-url"])
def test_a_refused_option_is_named_as_it_was_written(packed: Path, option: str) -> None:
    ended = run(packed, "--no-browser", option, "a/b")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"llamafile: {option} would fetch something")


def test_a_descriptor_that_is_nothing_is_malformed(packed: Path) -> None:
    ended = run(packed, "--version", env={"LFF_CONTAINER_FD": "", "LFF_CONTAINER": str(packed)})
    started = ended.stdout + ended.stderr
    assert ended.returncode == 0, started  # the launcher of a file takes an inherited one away
    program = next(path for path in (packed.parent / "cache").rglob("*") if path.is_file() and os.access(path, os.X_OK))
    direct = subprocess.run(
        [program, "--what-will-run"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment(cache_of(packed), {"LFF_CONTAINER_FD": "", "LFF_CONTAINER": str(packed)}),
    )
    assert direct.returncode != 0
    assert "LFF_CONTAINER_FD" in direct.stderr
