"""OpenAI's own Python client talks to a packed file as it would to theirs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime_server import Server, pack, served

openai = pytest.importorskip("openai")
pytestmark = [pytest.mark.slow, pytest.mark.interop]

QUESTION = [{"role": "user", "content": "Tell me about the clock."}]


@pytest.fixture(scope="module")
def exhibit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exhibit, packed."""
    return pack(tmp_path_factory.mktemp("client") / "exhibit.llamafile")


@pytest.fixture(scope="module")
def client(exhibit: Path) -> Iterator[openai.OpenAI]:
    """A client of it."""
    with served(exhibit) as server, _client(server) as connected:
        yield connected


def _client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.address + "v1", api_key="none", max_retries=0, timeout=60)


def test_models(client: openai.OpenAI) -> None:
    models = client.models.list().data
    assert [model.id for model in models] == ["exhibit"]


def test_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="exhibit", messages=QUESTION, max_tokens=24, temperature=0)
    assert answer.object == "chat.completion"
    assert "clock" in (answer.choices[0].message.content or "")
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 24
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 24


def test_a_finished_answer_says_so(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="exhibit", messages=QUESTION, temperature=0)
    assert answer.choices[0].finish_reason == "stop"


def test_streaming_gives_the_same_words_piece_by_piece(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="exhibit", messages=QUESTION, max_tokens=24, temperature=0)
    pieces = client.chat.completions.create(
        model="exhibit", messages=QUESTION, max_tokens=24, temperature=0, stream=True
    )
    said = [choice.delta.content or "" for piece in pieces for choice in piece.choices]
    assert len([piece for piece in said if piece]) > 4
    assert "".join(said) == whole.choices[0].message.content


def test_two_at_once_do_not_disturb_each_other(client: openai.OpenAI) -> None:
    def ask(thing: str, stream: bool) -> str:
        message = [{"role": "user", "content": f"Tell me about the {thing}."}]
        given = {"model": "exhibit", "messages": message, "max_tokens": 16, "temperature": 0}
        if not stream:
            return client.chat.completions.create(**given).choices[0].message.content or ""
        pieces = client.chat.completions.create(**given, stream=True)
        first = next(pieces)
        other = ask("lamp", False)
        rest = "".join(choice.delta.content or "" for piece in (first, *pieces) for choice in piece.choices)
        return f"{rest}|{other}"

    assert ask("clock", True) == f"{ask('clock', False)}|{ask('lamp', False)}"


def test_completions(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="exhibit", prompt="Visitor: a brass astrolabe\nLabel:", max_tokens=24, temperature=0, logprobs=2
    )
    assert answer.object == "text_completion"
    assert "astrolabe" in answer.choices[0].text
    again = client.completions.create(
        model="exhibit", prompt="Visitor: a brass astrolabe\nLabel:", max_tokens=24, temperature=0, stream=True
    )
    assert "".join(piece.choices[0].text for piece in again) == answer.choices[0].text


def test_stop_words(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="exhibit", messages=QUESTION, temperature=0, stop=["clock"])
    assert "clock" not in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"


def test_a_seed_repeats_a_draw(client: openai.OpenAI) -> None:
    def draw(seed: int) -> str:
        answer = client.completions.create(model="exhibit", prompt="The", max_tokens=16, temperature=2, seed=seed)
        return answer.choices[0].text

    assert draw(7) == draw(7)
    assert len({draw(seed) for seed in range(6)}) > 2


# Embeddings, which the engine's server gives when it was started for them


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    """A client of the exhibit packed with the argument that makes it an embedding server."""
    out = tmp_path_factory.mktemp("embeddings") / "embeddings.llamafile"
    packed = pack(out, args=("--embeddings", "--pooling", "mean", "-c", "512", "..."))
    with served(packed) as server, _client(server) as connected:
        yield connected


def test_embeddings(embedder: openai.OpenAI) -> None:
    texts = ["the brass clock", "the brass clock", "a home computer"]
    answer = embedder.embeddings.create(model="exhibit", input=texts)
    first, again, other = (item.embedding for item in answer.data)
    assert len(first) == 128
    assert first == again != other
    assert math.isclose(math.hypot(*first), 1, rel_tol=1e-5)
    assert answer.usage.prompt_tokens > 0


def test_embeddings_come_as_floats_or_in_base64(embedder: openai.OpenAI) -> None:
    # The client asks for base64 unless told otherwise, and decodes it.
    plain = embedder.embeddings.create(model="exhibit", input="the brass clock", encoding_format="float")
    packed = embedder.embeddings.create(model="exhibit", input="the brass clock")
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)


# Errors, each as the exception that the client has for it


def test_embeddings_without_the_option_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        client.embeddings.create(model="exhibit", input="the brass clock")
    assert refused.value.status_code == 400
    assert "does not support embeddings" in refused.value.message


def test_a_bad_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="exhibit", messages=[{"role": "user"}])
    assert refused.value.status_code == 400
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="exhibit", messages=QUESTION, extra_body={"grammar": "no grammar"})


def test_an_unknown_route(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.moderations.create(input="the brass clock")


def test_a_prompt_that_is_too_long(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="exhibit", messages=[{"role": "user", "content": "clock " * 2000}])
    assert "exceeds the available context size" in refused.value.message
    # And the next one is answered.
    assert client.chat.completions.create(model="exhibit", messages=QUESTION, max_tokens=2).choices


def test_a_key_is_asked_for_when_one_was_set(exhibit: Path) -> None:
    with served(exhibit, "--api-key", "secret") as server, _client(server) as wrong:
        with pytest.raises(openai.AuthenticationError):
            wrong.chat.completions.create(model="exhibit", messages=QUESTION, max_tokens=2)
        right = wrong.with_options(api_key="secret")
        assert right.chat.completions.create(model="exhibit", messages=QUESTION, max_tokens=2).choices
