"""Everything that a gate's OpenAPI description allows, and much that it does not, asked by schemathesis in-process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from starlette.testclient import TestClient

from llamafile_format.service import read_gate
from tests.gate_service import KEY, configure

schemathesis = pytest.importorskip("schemathesis")
pytestmark = [pytest.mark.slow, pytest.mark.interop]


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from llamafile_format.service.app import make_app

    folder = tmp_path_factory.mktemp("openapi")
    path = configure(folder, names=["testserver", "localhost"], references={"hosts": [{"host": "models.test"}]})
    app = make_app(read_gate(path))

    async def begun(scope: Any, receive: Any, send: Any) -> None:
        """The application, which begins once and not for each question."""
        if scope["type"] == "lifespan":
            for _ in range(2):
                await send({"type": f"{(await receive())['type']}.complete"})
        else:
            await app(scope, receive, send)

    with TestClient(app):
        yield schemathesis.openapi.from_asgi("/openapi.json", begun)


OPERATIONS = [
    "GET /healthz",
    "GET /metrics",
    "GET /v1/jobs/{id}",
    "GET /v1/jobs/{id}/badge.svg",
    "GET /v1/jobs/{id}/report",
    "POST /v1/jobs",
    "POST /v1/uploads",
]


def test_everything_is_described(schema: Any) -> None:
    assert sorted(result.ok().label for result in schema.get_all_operations()) == OPERATIONS


@pytest.mark.parametrize("label", OPERATIONS)
@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_every_answer_is_one_that_was_described(schema: Any, label: str, mode: str) -> None:
    operation = next(found.ok() for found in schema.get_all_operations() if found.ok().label == label)
    kind = schemathesis.GenerationMode(mode)
    if mode == "negative" and label in ("GET /healthz", "GET /metrics"):
        return  # there is nothing to get wrong
    asked = []

    @given(case=operation.as_strategy(generation_mode=kind))
    @settings(max_examples=25)
    def ask(case: Any) -> None:
        asked.append(case.call_and_validate(headers={"Authorization": f"Bearer {KEY}"}).status_code)

    ask()
    assert asked
    assert max(asked) < 500


@pytest.mark.parametrize("path", ["/v1/jobs/" + "0" * 32, "/v1/jobs/" + "0" * 32 + "/report", "/metrics"])
def test_nothing_is_said_without_a_key(schema: Any, path: str) -> None:
    client = TestClient(schema.app)
    assert client.get(path).status_code == 401
    assert client.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client.get(path, headers={"Authorization": f"Bearer {KEY}"}).status_code in (200, 404)
    assert client.get("/healthz", headers={"Host": "evil.test"}).status_code == 421
