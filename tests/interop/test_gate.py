"""The gate before the engine: no request ends or blocks the server, nobody is turned away for another's sake."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.boxed import pack_boxed
from tests.interop.test_two_processes import inner_of
from tests.runtime_server import Answer, Server, served

pytestmark = [pytest.mark.slow, pytest.mark.interop]

BODY = {"prompt": "a", "n_predict": 1}
GAP = 0.05  # natural logarithm; what sums in another order may change of the odds of a word (spec/1, 14.6.15)
DEEP_SCHEMA = '{"type":"array","items":' * 20000 + '{"type":"string"}' + "}" * 20000
DOUBLING = "".join(f"a{i} ::= a{i + 1} a{i + 1} | a{i + 1}\n" for i in range(30))
ANY_OF = {f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 3} for i in range(25)} | {"d25": {"type": "string"}}

REFUSED: dict[str, tuple[str, str]] = {
    "parentheses": ("/completion", json.dumps(BODY | {"grammar": "root ::= " + "(" * 100000 + '"a"' + ")" * 100000})),
    "exponential grammar": ("/completion", json.dumps(BODY | {"grammar": f'root ::= a0\n{DOUBLING}a30 ::= "d"?'})),
    "nested any of": ("/completion", json.dumps(BODY | {"json_schema": {"$defs": ANY_OF, "$ref": "#/$defs/d0"}})),
    "deep schema": ("/completion", '{"prompt":"a","json_schema":' + DEEP_SCHEMA + "}"),
    "deep response format": (
        "/v1/chat/completions",
        '{"messages":[],"response_format":{"type":"json_schema","json_schema":{"schema":' + DEEP_SCHEMA + "}}}",
    ),
    "deep messages": ("/apply-template", '{"messages":' + "[" * 200000 + "]" * 200000 + "}"),
    "deep template arguments": ("/apply-template", '{"chat_template_kwargs":' + "[" * 200000 + "]" * 200000 + "}"),
    "deep prompt": ("/tokenize", '{"content":' + "[" * 100000 + '"a"' + "]" * 100000 + "}"),
    "deep trigger": (
        "/completion",
        json.dumps(
            BODY
            | {"grammar": 'root ::= "a"', "grammar_lazy": True}
            | {"grammar_triggers": [{"type": 2, "value": "(" * 50000 + "a" + ")" * 50000}]}
        ),
    ),
    "slow trigger": (
        "/completion",
        json.dumps(
            {"prompt": "Visitor: a", "n_predict": 4, "grammar": 'root ::= "a"', "grammar_lazy": True}
            | {"grammar_triggers": [{"type": 3, "value": "(a+)+$"}, {"type": 2, "value": "((((.*)*)*)*)*b"}]}
        ),
    ),
    "many properties": (
        "/completion",
        json.dumps(BODY | {"json_schema": {"properties": {f"p{i}": {"type": "string"} for i in range(3000)}}}),
    ),
    "many stops": ("/completion", json.dumps(BODY | {"stop": ["x" * i for i in range(1, 3000)]})),
    "many biases": ("/completion", json.dumps(BODY | {"logit_bias": [[i % 512, 1] for i in range(500000)]})),
    "long biases": ("/completion", json.dumps(BODY | {"logit_bias": [["abc " * 5000, 1]] * 50})),
    "more text than anybody waits for": ("/tokenize", json.dumps({"content": "ab " * 4_000_000})),
    "half a text": ("/v1/chat/completions", "{"),
    "not UTF-8": ("/v1/chat/completions", '{"messages":[{"role":"user","content":"\udcff"}]}'),
    "unknown token": ("/detokenize", '{"tokens":[123456789]}'),
}


@pytest.fixture(scope="module")
def packed(new_runtimes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exhibit, with a context of 512 tokens and the newest engine."""
    return pack_boxed(new_runtimes, tmp_path_factory.mktemp("gate") / "x.llamafile")


@pytest.fixture(scope="module")
def server(packed: Path) -> Iterator[Server]:
    """It, served."""
    with served(packed, "--no-browser") as started:
        yield started


def send(server: Server, path: str, text: str, timeout: float = 60) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    try:
        connection.request("POST", path, text.encode("utf-8", "surrogateescape"), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.headers.items()), answer.read())
    finally:
        connection.close()


def complete(server: Server, **more: Any) -> Answer:
    return send(server, "/completion", json.dumps(BODY | more))


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_and_the_server_goes_on(server: Server, name: str) -> None:
    engine = inner_of(server)
    answer = send(server, *REFUSED[name])
    assert answer.status == 400, answer.body[:300]
    assert answer.json()["error"]["message"]
    assert complete(server).status == 200
    assert inner_of(server) == engine


def test_triggers_that_are_looked_for_ever_longer_end_their_own_answer(server: Server) -> None:
    begun = time.monotonic()
    slow = {"grammar": 'root ::= "a"', "grammar_lazy": True, "grammar_triggers": [{"type": 2, "value": "(.|\n)*ZZZ"}]}
    answer = complete(server, prompt="Visitor: a", n_predict=400, temperature=2, ignore_eos=True, **slow)
    assert answer.status == 400
    assert "triggers" in answer.json()["error"]["message"]
    assert time.monotonic() - begun < 20
    word = {"grammar": 'root ::= "<c>"', "grammar_lazy": True, "grammar_triggers": [{"type": 2, "value": "<c>"}]}
    assert complete(server, prompt="Visitor: a", n_predict=400, ignore_eos=True, **word).status == 200


def test_a_template_that_counts_to_two_thousand_million_is_stopped(packed: Path, tmp_path: Path) -> None:
    template = "{% for i in range(n) %}{% endfor %}{% for m in messages %}Visitor: {{ m.content }}{% endfor %}Label:"
    (tmp_path / "range.jinja").write_text("{% set n = n | default(1) %}" + template, "utf-8")
    with served(packed, "--no-browser", "--chat-template-file", str(tmp_path / "range.jinja")) as server:
        engine = inner_of(server)
        messages = [{"role": "user", "content": "Hi"}]
        for path in ("/apply-template", "/v1/chat/completions"):
            body: dict[str, Any] = {"messages": messages, "max_tokens": 2, "chat_template_kwargs": {"n": 2_000_000_000}}
            answer = send(server, path, json.dumps(body), 120)
            assert answer.status == 400, answer.body[:300]
            assert send(server, path, json.dumps(body | {"chat_template_kwargs": {"n": 3}})).status == 200
        assert inner_of(server) == engine


def test_an_ordinary_grammar_and_schema_are_served(server: Server) -> None:
    schema = {"type": "object", "properties": {"year": {"type": "integer"}}, "required": ["year"]}
    answer = complete(server, n_predict=24, json_schema=schema, temperature=0)
    assert answer.status == 200
    assert answer.json()["content"].lstrip().startswith("{")
    grammar = 'root ::= ("clock" | "lamp") [.!]?'
    assert complete(server, n_predict=8, grammar=grammar, temperature=0).json()["content"].startswith(("clock", "lamp"))


def test_numbers_are_brought_within_the_context(server: Server) -> None:
    before = _memory(inner_of(server))
    answer = complete(server, repeat_last_n=2147483647, dry_penalty_last_n=2147483647, n_probs=100000, top_k=2147483647)
    assert answer.status == 200
    assert answer.json()["generation_settings"]["repeat_last_n"] == 512
    assert _memory(inner_of(server)) < before + (256 << 10)


def _memory(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


@pytest.mark.parametrize("count", [500, 2500])
def test_idle_connections_keep_nobody_waiting(packed: Path, count: int) -> None:
    with served(packed, "--no-browser") as server:
        complete(server)
        before = _threads(inner_of(server))
        idle = []
        for _ in range(count):
            try:
                idle.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
                idle[-1].send(b"POST /completion HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n")
            except OSError:
                break
        assert len(idle) > 400
        begun = time.monotonic()
        assert server.request("GET", "/health").status == 200
        assert complete(server).status == 200
        assert time.monotonic() - begun < 20
        assert _threads(inner_of(server)) <= before + 8
        for connection in idle:
            connection.close()


def test_idle_connections_need_next_to_no_memory(packed: Path) -> None:
    limited = ["sh", "-c", 'ulimit -v 1500000; exec "$@"', "sh"]
    with served(packed, "--no-browser", "-np", "1", wrapper=limited) as server:
        engine = inner_of(server)
        idle = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(500)]
        for connection in idle:
            connection.send(b"POST /completion HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n")
        assert complete(server).status == 200
        assert inner_of(server) == engine
        for connection in idle:
            connection.close()


def _threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def ask_all(server: Server, prompts: list[str], words: int) -> list[Answer]:
    answers: dict[int, Answer] = {}

    def one(index: int) -> None:
        body = {"prompt": prompts[index], "n_predict": words, "temperature": 0, "ignore_eos": True}
        answers[index] = send(server, "/completion", json.dumps(body), 240)

    threads = [threading.Thread(target=one, args=(index,)) for index in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answers[index] for index in range(len(prompts))]


def test_two_long_talks_each_have_the_whole_context(server: Server) -> None:
    answers = ask_all(server, ["clock " * 40, "lamp " * 40], 300)
    assert [answer.status for answer in answers] == [200, 200]
    assert all(answer.json()["tokens_predicted"] == 300 for answer in answers)


def test_sixty_four_at_once_are_all_answered(server: Server) -> None:
    answers = ask_all(server, [f"Visitor: Tell me about the clock number {i}.\nLabel:" for i in range(64)], 16)
    assert {answer.status for answer in answers} == {200}


def test_with_one_slot_an_answer_is_the_one_given_alone(packed: Path) -> None:
    prompts = [f"Visitor: {thing}\nLabel:" for thing in ("a clock", "a lamp", "a map", "a dog")]
    with served(packed, "--no-browser", "-np", "1", "--no-cache-prompt") as server:
        alone = [ask_all(server, [prompt], 24)[0].json()["content"] for prompt in prompts]
        together = [answer.json()["content"] for answer in ask_all(server, prompts, 24)]
    assert together == alone


def with_odds(server: Server, prompts: list[str], words: int) -> list[list[tuple[int, dict[int, float]]]]:
    """For each prompt, all asked at once: the tokens of its answer, each with the log-odds of the likeliest ones."""
    body = {"n_predict": words, "temperature": 0, "ignore_eos": True, "n_probs": 5, "cache_prompt": False}
    with ThreadPoolExecutor(len(prompts)) as pool:
        asked = [pool.submit(send, server, "/completion", json.dumps(body | {"prompt": one}), 240) for one in prompts]
    return [
        [
            (token["id"], {each["id"]: each["logprob"] for each in token["top_logprobs"]})
            for token in answer.result().json()["completion_probabilities"]
        ]
        for answer in asked
    ]


def test_with_several_slots_each_gets_the_answer_to_its_own_question(packed: Path) -> None:
    """Sums over several answers are added up in another order, so of two words that are as likely either may come."""
    things = ("a clock", "a lamp", "a map", "a dog", "a brass astrolabe", "a printing press", "a music box", "a globe")
    prompts = [f"Visitor: {thing}\nLabel:" for thing in things]
    with served(packed, "--no-browser", "-np", "8") as server:
        alone = [with_odds(server, [prompt], 24)[0] for prompt in prompts]
        together = with_odds(server, prompts, 24)
    assert len({tuple(token for token, _ in answer) for answer in alone}) == len(prompts)
    for one, other in zip(alone, together, strict=True):
        assert len(one) == len(other) == 24
        for (token, odds), (another, other_odds) in zip(one, other, strict=True):
            if token != another:
                assert odds[token] - odds[another] <= GAP
                break
            assert abs(odds[token] - other_odds[token]) <= GAP


def test_a_request_past_its_time_is_given_up_alone(packed: Path) -> None:
    with served(packed, "--no-browser", "--request-timeout", "1", "--context-shift") as server:
        answer = complete(server, n_predict=1000000, ignore_eos=True)
        assert answer.status == 504, answer.body
        assert complete(server).status == 200


@pytest.mark.parametrize("stream", [False, True])
def test_who_has_gone_is_not_answered(packed: Path, stream: bool) -> None:
    with served(packed, "--no-browser", "--context-shift") as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            body = json.dumps({"prompt": "a", "n_predict": -1, "ignore_eos": True, "stream": stream}).encode()
            head = f"POST /completion HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            _wait_until(server, busy=True)
        begun = time.monotonic()
        _wait_until(server, busy=False)  # asks often: others are answered meanwhile
        assert time.monotonic() - begun < 1


def _wait_until(server: Server, busy: bool) -> None:
    """An answer that would never end is under way, or none is."""
    for _ in range(500):
        if busy == any(slot["is_processing"] for slot in server.request("GET", "/slots").json()):
            return
        time.sleep(0.02)
    raise AssertionError("still computing for nobody" if not busy else "nothing is computed")


@pytest.mark.parametrize("grammar", ["", 'root ::= ([a-z ] | [a-z A-Z] | [a-z.] [a-z ])* "!"'])
def test_one_signal_is_enough_while_it_answers(packed: Path, grammar: str) -> None:
    with served(packed, "--no-browser", "--context-shift") as server:
        thread = threading.Thread(target=lambda: _quietly(server, grammar), daemon=True)
        thread.start()
        _wait_until(server, busy=True)
        assert thread.is_alive()
        server.process.terminate()
        assert server.process.wait(30) == 0


def _quietly(server: Server, grammar: str) -> None:
    try:
        complete(server, n_predict=100000, ignore_eos=True, grammar=grammar)
    except (OSError, http.client.HTTPException):
        return


def test_one_model_is_looked_up_by_its_name(server: Server) -> None:
    name = server.request("GET", "/v1/models").json()["data"][0]["id"]
    assert server.request("GET", f"/v1/models/{name}").json()["id"] == name
    assert server.request("GET", "/v1/models/none").status == 404


def test_the_page_needs_no_accept_encoding(server: Server) -> None:
    page = server.request("GET", "/")
    assert page.status == 200
    assert "Content-Encoding" not in page.headers
    assert b"<html" in page.body
    packed = server.request("GET", "/", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == page.body


def test_curl_gets_the_page(server: Server, tool: Callable[[str], Path]) -> None:
    done = subprocess.run([tool("curl"), "-sS", "--fail", server.address], capture_output=True, timeout=60, check=True)
    assert b"</html>" in done.stdout


def test_the_page_says_what_it_may_do(server: Server) -> None:
    page = server.request("GET", "/")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))
    scripts = re.findall(rb"<script>(.*?)</script>", page.body, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in scripts]
    assert policy["script-src"].split() == ["'self'", *(f"'sha256-{digest}'" for digest in digests)]
    assert len(scripts) == 1
    assert policy["default-src"] == "'self'"
    assert policy["object-src"] == policy["frame-ancestors"] == "'none'"
    assert server.request("GET", "/index.html").headers["Content-Security-Policy"]


def host(server: Server, name: str, origin: str = "") -> int:
    return server.request("GET", "/v1/models", headers={"Host": name} | ({"Origin": origin} if origin else {})).status


def test_for_all_the_network_it_answers_to_no_name_but_its_own(packed: Path) -> None:
    with served(packed, "--no-browser", "--host", "0.0.0.0") as server:
        port = server.port
        assert (
            host(server, f"127.0.0.1:{port}")
            == host(server, f"192.0.2.7:{port}")
            == host(server, "[2001:db8::7]")
            == 200
        )
        assert host(server, f"localhost:{port}") == host(server, "LOCALHOST") == 200
        assert host(server, "rebound.example") == host(server, "127.0.0.1.example") == host(server, "") == 403
        refused = server.request("GET", "/v1/models", headers={"Host": "rebound.example"})
        assert "--allow-host" in refused.json()["error"]["message"]


def test_the_user_may_allow_names(packed: Path) -> None:
    with served(packed, "--no-browser", "--allow-host", "models.example,Other.example") as server:
        assert host(server, f"models.example:{server.port}") == host(server, "other.EXAMPLE") == 200
        assert host(server, "models.example", "https://models.example") == 200
        assert host(server, "models.example", "https://rebound.example") == 403
        assert host(server, "127.0.0.1", "https://127.0.0.1") == host(server, "more.models.example") == 403
    with served(packed, "--no-browser", "--allow-host", "*") as server:
        assert host(server, "rebound.example") == 200


def test_how_many_at_once_is_printed(server: Server) -> None:
    assert "16 at once, each with a context of 512 tokens" in server.output()
