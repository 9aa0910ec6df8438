"""Ask a runtime in trace mode: one request through its standard input, its answer measured (spec/1, 15.3).

answer = trace(program, container, Request((Prompt("a", text="Once upon a time"),)))
answer.prompts[0].steps[0].token
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llamafile_format.engines.launch import HERE, Via, start
from llamafile_format.engines.trace import TIMEOUT, Prompt, Request, Trace
from llamafile_format.engines.trace_reader import read_trace
from llamafile_format.errors import RuntimeFailure
from llamafile_format.source import FileSource


def trace(
    program: Path,
    container: Path,
    request: Request,
    *,
    via: Via = HERE,
    weights: tuple[int, int] | None = None,
    model: str = "",
    opened: FileSource | None = None,
    before: Sequence[str] = (),
    timeout: float = TIMEOUT,
) -> Trace:
    """Run ``program`` on ``container`` in trace mode and return what it measured.

    ``weights`` is (offset, size) of the default model's data in bytes, as a launcher would tell; ``model`` names
    another member; ``opened``, the open container, and ``before`` are as ``launch.start`` takes them. ``timeout`` in
    seconds. Raises RuntimeFailure with a sentence that says what went wrong.
    """
    words = ["--trace", *(["-m", f"/zip/{model}"] if model else [])]
    asked = request_bytes(request)
    begun = start(via, program, words, container, asked, weights=weights, opened=opened, before=before, timeout=timeout)
    with begun as running:
        try:
            answer = read_trace(running.lines(), request)
        except RuntimeFailure as error:
            raise running.blame(error) from error
        running.finish()
        return answer


def request_bytes(request: Request) -> bytes:
    """The request as the runtime reads it: one JSON object in ASCII."""
    value: dict[str, Any] = {
        "version": 1,
        "threads": request.threads,
        "context": request.context,
        "batch": request.batch,
        "flash_attention": request.flash_attention,
        "prompts": [_prompt(prompt) for prompt in request.prompts],
    }
    if request.likelihood is not None:
        value["nll"] = {"text": request.likelihood}
    return json.dumps(value, sort_keys=True).encode("ascii") + b"\n"


def _prompt(prompt: Prompt) -> dict[str, Any]:
    common = {"id": prompt.id, "max_tokens": prompt.max_tokens, "top": prompt.top}
    if prompt.text is None:
        return {**common, "messages": [{"role": m.role, "content": m.content} for m in prompt.messages]}
    special = {"add_special": prompt.add_special, "parse_special": prompt.parse_special}
    return {**common, **special, "text": prompt.text}
