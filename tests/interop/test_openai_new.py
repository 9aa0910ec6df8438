"""What the gate of the newest engine adds to upstream's server, as OpenAI's own client asks for it (spec 14.6.18)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.boxed import pack_new
from tests.gguf_workbench import take_apart
from tests.runtime_server import EXHIBIT, Server, served

openai = pytest.importorskip("openai")
pytestmark = [pytest.mark.slow, pytest.mark.interop]

PROMPT = "Visitor: a brass astrolabe\nLabel:"
QUESTION = [{"role": "user", "content": "Tell me about the clock."}]
CITY = {
    "type": "function",
    "function": {"name": "city", "parameters": {"type": "object", "properties": {"name": {"type": "string"}}}},
}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
TOOL_TEMPLATE = (
    "{%- if tools %}Tools: {{ tools | tojson }}\n{% endif %}"
    "{%- for m in messages %}{{ 'Label' if m.role == 'assistant' else 'Visitor' }}: {{ m.content }}"
    "{%- for call in m.tool_calls or [] %}<tool_call>"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
    "</tool_call>{% endfor %}\n{% endfor %}"
    "{%- if add_generation_prompt %}Label:{% endif %}"
)


@pytest.fixture(scope="module")
def server(new_runtimes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The exhibit, served by the newest engine."""
    packed = pack_new(new_runtimes, tmp_path_factory.mktemp("new") / "x.llamafile", name="exhibit")
    with served(packed, "--no-browser") as started:
        yield started


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    """A client of it."""
    with openai.OpenAI(base_url=server.address + "v1", api_key="none", max_retries=0, timeout=60) as connected:
        yield connected


def complete(client: openai.OpenAI, **more: Any) -> Any:
    return client.completions.create(
        **({"model": "exhibit", "prompt": PROMPT, "max_tokens": 8, "temperature": 0} | more)
    )


def chat(client: openai.OpenAI, **more: Any) -> Any:
    given = {"model": "exhibit", "messages": QUESTION, "max_tokens": 8, "temperature": 0}
    return client.chat.completions.create(**(given | more))


def refused(ask: Any, client: openai.OpenAI, **more: Any) -> str:
    with pytest.raises(openai.BadRequestError) as error:
        ask(client, **more)
    return error.value.message


# v1/completions


def test_one_model_is_retrieved(client: openai.OpenAI) -> None:
    assert client.models.retrieve("exhibit").id == "exhibit"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_echo_puts_the_prompt_in_front(client: openai.OpenAI) -> None:
    plain = complete(client).choices[0].text
    assert complete(client, echo=True).choices[0].text == PROMPT + plain
    assert complete(client, echo=False).choices[0].text == plain
    pieces = [choice.text for event in complete(client, echo=True, stream=True) for choice in event.choices]
    assert "".join(pieces) == PROMPT + plain
    prompts = [PROMPT, "Visitor: a lamp\nLabel:"]
    several = complete(client, prompt=prompts, echo=True, n=2, temperature=1).choices
    assert [choice.index for choice in several] == [0, 1, 2, 3]
    assert all(choice.text.startswith(prompts[choice.index // 2]) for choice in several)


def test_what_cannot_be_echoed_is_refused(client: openai.OpenAI) -> None:
    assert "echo with logprobs" in refused(complete, client, echo=True, logprobs=1)
    assert "prompt of tokens" in refused(complete, client, echo=True, prompt=[1, 2, 3])
    assert "prompt of tokens" in refused(complete, client, echo=True, prompt=[[1, 2], [3]])


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_have_the_older_shape(client: openai.OpenAI, stream: bool) -> None:
    answer = complete(client, logprobs=2, stream=stream)
    choices = [choice for event in answer for choice in event.choices] if stream else answer.choices
    parts = [choice.logprobs for choice in choices if choice.logprobs is not None]
    text = "".join(choice.text for choice in choices)
    tokens = [token for part in parts for token in part.tokens]
    values = [value for part in parts for value in part.token_logprobs]
    tops = [top for part in parts for top in part.top_logprobs]
    offsets = [offset for part in parts for offset in part.text_offset]
    assert "".join(tokens) == text
    assert len(tokens) == len(values) == len(tops) == len(offsets) == 8
    assert offsets[0] == 0
    assert [text[at:].startswith(token) for at, token in zip(offsets, tokens, strict=True)] == [True] * 8
    assert all(len(top) == 2 for top in tops)
    for token, value, top in zip(tokens, values, tops, strict=True):
        assert top[token] == value == max(top.values())  # at temperature 0
        assert value <= 0
        assert sum(map(math.exp, top.values())) <= 1 + 1e-6


def test_no_tokens_are_no_tokens(client: openai.OpenAI) -> None:
    answer = complete(client, max_tokens=0)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("", "length")
    assert (answer.usage.completion_tokens, answer.usage.total_tokens) == (0, answer.usage.prompt_tokens)
    assert complete(client, max_tokens=0, echo=True).choices[0].text == PROMPT
    streamed = list(complete(client, max_tokens=0, echo=True, stream=True))
    assert "".join(choice.text for event in streamed for choice in event.choices) == PROMPT
    said = chat(client, max_tokens=0)
    assert (said.choices[0].message.content, said.usage.completion_tokens) == ("", 0)


def test_usage_counts_every_answer_and_the_prompt_once(client: openai.OpenAI) -> None:
    one = complete(client, max_tokens=5).usage
    three = complete(client, max_tokens=5, n=3, temperature=1, extra_body={"ignore_eos": True}).usage
    assert (three.prompt_tokens, three.completion_tokens) == (one.prompt_tokens, 15)
    two = complete(client, max_tokens=5, prompt=[PROMPT, PROMPT], extra_body={"ignore_eos": True}).usage
    assert (two.prompt_tokens, two.completion_tokens) == (2 * one.prompt_tokens, 10)
    whole = chat(client, n=2, extra_body={"ignore_eos": True})
    assert len(whole.choices) == 2
    assert whole.usage.completion_tokens == 16
    assert whole.usage.prompt_tokens == chat(client).usage.prompt_tokens


@pytest.mark.parametrize("ask", [complete, chat])
def test_usage_of_a_stream_comes_last_and_once(client: openai.OpenAI, ask: Any) -> None:
    given = {"n": 2, "stream": True, "extra_body": {"ignore_eos": True}}
    events = list(ask(client, **given, stream_options={"include_usage": True}))
    assert [event.usage is None for event in events] == [True] * (len(events) - 1) + [False]
    assert events[-1].choices == []
    assert events[-1].usage.completion_tokens == 16
    assert events[-1].usage.prompt_tokens == ask(client).usage.prompt_tokens
    assert {choice.index for event in events for choice in event.choices} == {0, 1}
    assert all(event.usage is None for event in ask(client, **given))


def test_what_nobody_has_is_refused(client: openai.OpenAI) -> None:
    assert "suffix" in refused(complete, client, suffix="end")
    assert "best_of" in refused(complete, client, best_of=3)
    assert complete(client, best_of=1, suffix="").choices


# Chat


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "city"}}])
def test_a_template_without_calls_serves_none(client: openai.OpenAI, choice: Any) -> None:
    assert "knows no calls" in refused(chat, client, tools=[CITY], tool_choice=choice)
    assert chat(client, tools=[CITY], tool_choice="auto").choices[0].message.content
    assert chat(client, tools=[CITY], tool_choice="none").choices[0].message.content


def test_a_choice_names_what_is_there(client: openai.OpenAI) -> None:
    named = {"type": "function", "function": {"name": "village"}}
    assert "village" in refused(chat, client, tools=[CITY], tool_choice=named)
    assert "no tools" in refused(chat, client, tool_choice="required")
    assert "type other" in refused(chat, client, tools=[CITY], tool_choice={"type": "other"})


def test_a_template_with_calls_serves_the_one_that_was_chosen(new_runtimes: Path, tmp_path: Path) -> None:
    (tmp_path / "calls.jinja").write_text(TOOL_TEMPLATE, "utf-8")
    packed = pack_new(new_runtimes, tmp_path / "calls.llamafile", name="exhibit")
    other = {"type": "function", "function": {"name": "other", "parameters": {"type": "object", "properties": {}}}}
    named = {"type": "function", "function": {"name": "city"}}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named]}}
    with (
        served(packed, "--no-browser", "--chat-template-file", str(tmp_path / "calls.jinja")) as server,
        openai.OpenAI(base_url=server.address + "v1", api_key="none", max_retries=0, timeout=60) as client,
    ):
        for choice in (named, allowed):
            asked = {"messages": QUESTION, "tools": [other, CITY], "tool_choice": choice}
            prompt = server.request("POST", "/apply-template", asked).json()["prompt"]
            assert '"city"' in prompt
            assert '"other"' not in prompt
            assert chat(client, tools=[other, CITY], tool_choice=choice).choices
        assert chat(client, tools=[other, CITY], tool_choice="required").choices


def test_a_picture_without_a_projector_is_refused(client: openai.OpenAI) -> None:
    assert "mmproj" in refused(chat, client, messages=[{"role": "user", "content": [PICTURE]}])


def test_a_wrong_type_is_the_fault_of_the_request(client: openai.OpenAI) -> None:
    refused(chat, client, max_tokens="ten")
    refused(chat, client, messages=[{"role": 1, "content": "a"}])
    refused(complete, client, extra_body={"prompt": {"a": 1}})


# What strict promises

KEPT: dict[str, Any] = {
    "text of a length": {"type": "string", "minLength": 1, "maxLength": 4},
    "a date": {"type": "string", "format": "date"},
    "a pattern": {"type": "string", "pattern": "^[a-z]{1,4}$"},
    "words": {"type": "string", "enum": ["a", "b"]},
    "a range": {"type": "integer", "minimum": 1, "maximum": 9},
    "a list": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2, "uniqueItems": False},
    "either": {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "either"},
    "types": {"type": ["integer", "null"], "maxLength": 4},
}
NOT_KEPT: dict[str, tuple[Any, str]] = {
    "a look ahead": ({"type": "string", "pattern": "^(?=a)b$"}, "pattern ^(?=a)b$"),
    "a pattern without ends": ({"type": "string", "pattern": "a"}, "pattern a"),
    "a pattern and a length": ({"type": "string", "pattern": "^a*$", "maxLength": 3}, "maxLength"),
    "a format": ({"type": "string", "format": "email"}, "format"),
    "a multiple": ({"type": "integer", "multipleOf": 2}, "multipleOf"),
    "a range of fractions": ({"type": "number", "minimum": 0}, "minimum"),
    "no repetition": ({"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, "uniqueItems"),
    "a number of properties": ({"type": "object", "properties": {}, "maxProperties": 1}, "maxProperties"),
    "named by pattern": ({"type": "object", "patternProperties": {"^a": {"type": "string"}}}, "patternProperties"),
    "exactly one": ({"oneOf": [{"type": "integer"}, {"type": "null"}]}, "oneOf"),
    "all": ({"allOf": [{"type": "integer"}]}, "allOf"),
    "not": ({"not": {"type": "string"}}, "not"),
    "required and unknown": ({"type": "object", "properties": {}, "required": ["a"]}, "required"),
    "elsewhere": ({"$ref": "https://example.org/schema"}, "$ref"),
    "behind a reference": ({"$ref": "#/$defs/a"}, "multipleOf at #/$defs/a"),
    "beside a reference": ({"$ref": "#/$defs/b", "minLength": 3}, "minLength"),
}
DEFINED = {"a": {"type": "integer", "multipleOf": 3}, "b": {"type": "string"}}


def strictly(schema: Any, strict: bool = True) -> dict[str, Any]:
    whole = {"type": "object", "properties": {"x": schema}, "required": ["x"], "additionalProperties": False}
    used = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    if used in DEFINED:
        whole["$defs"] = {used: DEFINED[used]}
    return {"type": "json_schema", "json_schema": {"name": "x", "strict": strict, "schema": whole}}


@pytest.mark.parametrize("name", KEPT)
def test_strict_is_served_where_the_grammar_keeps_to_it(client: openai.OpenAI, name: str) -> None:
    answer = chat(client, response_format=strictly(KEPT[name]), max_tokens=120).choices[0]
    assert answer.finish_reason == "stop"
    assert list(json.loads(answer.message.content)) == ["x"]


@pytest.mark.parametrize("name", NOT_KEPT)
def test_strict_is_refused_where_it_does_not(client: openai.OpenAI, name: str) -> None:
    schema, keyword = NOT_KEPT[name]
    said = refused(chat, client, response_format=strictly(schema))
    assert keyword in said
    assert "strict" in said


def test_strict_of_functions_too_and_only_strict(client: openai.OpenAI) -> None:
    parameters = {"type": "object", "properties": {"x": NOT_KEPT["a look ahead"][0]}}
    tool = {"type": "function", "function": {"name": "f", "strict": True, "parameters": parameters}}
    assert "pattern ^(?=a)b$ at #/properties/x" in refused(chat, client, tools=[tool])
    assert chat(client, tools=[tool], tool_choice="none").choices
    loose = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    assert chat(client, tools=[loose]).choices
    assert chat(client, response_format=strictly(NOT_KEPT["a look ahead"][0], strict=False)).choices


# What a file may say


def test_a_file_gives_its_system_prompt(new_runtimes: Path, tmp_path: Path) -> None:
    (tmp_path / "roles.jinja").write_text("{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}", "utf-8")
    args = ("--system-prompt", "You label clocks.", "--temp", "0", "-c", "512", "...")
    packed = pack_new(new_runtimes, tmp_path / "prompted.llamafile", args=args, name="exhibit")
    with served(packed, "--no-browser", "--chat-template-file", str(tmp_path / "roles.jinja")) as server:

        def prompt(*messages: dict[str, str]) -> str:
            answer = server.request("POST", "/apply-template", {"messages": messages}).json()["prompt"]
            assert isinstance(answer, str)
            return answer

        user = {"role": "user", "content": "Hello"}
        assert prompt(user) == "[system] You label clocks. [user] Hello "
        assert prompt({"role": "system", "content": "Be brief."}, user) == "[system] Be brief. [user] Hello "
        assert prompt({"role": "developer", "content": ""}, user).count("[system]") <= 1
        with openai.OpenAI(base_url=server.address + "v1", api_key="none", max_retries=0, timeout=60) as client:
            plain = client.responses.create(model="exhibit", input="Hello", max_output_tokens=2)
            told = client.responses.create(model="exhibit", input="Hello", max_output_tokens=2, instructions="You")
            assert plain.usage is not None
            assert told.usage is not None
            assert plain.usage.input_tokens > told.usage.input_tokens
            assert (
                chat(client).usage.prompt_tokens
                > chat(client, messages=[{"role": "system", "content": ""}, *QUESTION]).usage.prompt_tokens
            )
    with served(
        packed, "--no-browser", "--system_prompt", "Mine.", "--chat-template-file", str(tmp_path / "roles.jinja")
    ) as server:
        answer = server.request("POST", "/apply-template", {"messages": [{"role": "user", "content": "Hello"}]}).json()
        assert answer["prompt"] == "[system] Mine. [user] Hello "


def test_a_file_gives_the_settings_that_requests_do_not_name(new_runtimes: Path, tmp_path: Path) -> None:
    args = ("--temp", "0.25", "--top-k", "7", "--repeat-penalty", "1.5", "-c", "512", "...")
    packed = pack_new(new_runtimes, tmp_path / "settings.llamafile", args=args, name="exhibit")
    with served(packed, "--no-browser") as server:
        body = {"prompt": "a", "n_predict": 1, "top_k": 3}
        used = server.request("POST", "/completion", body).json()["generation_settings"]
        assert (used["temperature"], used["top_k"], used["repeat_penalty"]) == (0.25, 3, 1.5)


def test_a_model_that_pools_serves_embeddings_unasked(new_runtimes: Path, tmp_path: Path) -> None:
    pooled = take_apart(EXHIBIT.read_bytes()).with_entry("llama.pooling_type", 4, 1)  # UINT32, mean
    (tmp_path / "pooled.gguf").write_bytes(pooled.build())
    packed = pack_new(new_runtimes, tmp_path / "pooled.llamafile", tmp_path / "pooled.gguf", name="exhibit")
    with (
        served(packed, "--no-browser") as server,
        openai.OpenAI(base_url=server.address + "v1", api_key="none", max_retries=0, timeout=60) as client,
    ):
        answer = client.embeddings.create(model="exhibit", input=["the brass clock", "the brass clock", "a computer"])
        first, again, other = (item.embedding for item in answer.data)
        assert len(first) == 128
        assert first == again != other
        assert chat(client).choices
