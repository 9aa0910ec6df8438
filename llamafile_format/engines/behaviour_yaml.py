"""Write a behaviour record as YAML: one legal text for each record (spec/1, 15.2.3).

Fields stand in one order, a step takes one line, every text and digest is quoted, so that no reader takes a digest of
digits for a number or a word for a truth value. The same behaviour gives the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from llamafile_format.engines.behaviour import (
    FORMAT,
    Record,
    Recorded,
    RecordedText,
    prompt_bytes,
    sha256,
    tokens_digest,
)
from llamafile_format.engines.trace import Logit, Prompt, Step

_PLAIN = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")
_HIDDEN = re.compile(
    "[^\x20-\x7e\xa1-\xac\xae-\u024f\u0391-\u03a1\u03a3-\u03ce\u0400-\u045f"
    "\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3]"
)
"""What is written as an escape (15.2.3): all but letters of the commonest scripts, for most of Unicode can hide."""
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def record_bytes(record: Record) -> bytes:
    """The record as the data of its member."""
    return ("\n".join(_lines(record)) + "\n").encode("utf-8")


def quoted(text: str) -> str:
    """``text`` as a double-quoted scalar of YAML on one line."""
    if _PLAIN.fullmatch(text):
        return f'"{text}"'
    for found, spelt in (("\\", "\\\\"), ('"', '\\"')):
        text = text.replace(found, spelt)
    return '"' + _HIDDEN.sub(_escape, text) + '"'


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def decimal(value: float) -> str:
    """``value`` with at most six figures behind the point, in a form that every YAML reader takes for a number."""
    text = f"{value:.6f}".rstrip("0")
    return text + "0" if text.endswith(".") else text


def _bytes(data: bytes) -> str:
    """A field for bytes: ``text`` where they are UTF-8, else ``hex``."""
    try:
        return f"text: {quoted(data.decode('utf-8'))}"
    except UnicodeDecodeError:
        return f"hex: {quoted(data.hex())}"


def _flow(items: Iterable[object]) -> str:
    return "[" + ", ".join(str(item) for item in items) + "]"


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _lines(record: Record) -> Iterator[str]:
    yield "# What a model answered, and how it came to it: a behaviour record. Do not edit; make it anew."
    yield f"format: {FORMAT}"
    yield f"class: {quoted(record.agreement.value)}"
    yield from _subject(record)
    where = record.environment
    yield f"environment: {{host: {quoted(where.host)}, via: {quoted(where.via)}, cpu: {quoted(where.cpu)}}}"
    yield (
        f"decoding: {{sampling: greedy, context: {record.context}, batch: {record.batch}, threads: {record.threads}, "
        f"flash_attention: false, vocabulary: {record.vocabulary}}}"
    )
    near = record.tolerance
    yield f"tolerance: {{logit: {decimal(near.logit)}, likelihood: {decimal(near.likelihood)}}}"
    yield "runs:"
    for run in record.runs:
        yield f"- {{threads: {run.threads}, class: {quoted(run.agreement.value)}}}"
    yield "prompts:"
    for item in record.prompts:
        yield from _prompt(item)
    if record.likelihood is not None:
        yield from _likelihood(record.likelihood)


def _subject(record: Record) -> Iterator[str]:
    subject, runtime = record.subject, record.subject.runtime
    yield "subject:"
    yield "  weights:"
    for part in subject.weights:
        yield f"  - {{path: {quoted(part.path)}, size: {part.size}, sha256: {quoted(part.sha256)}}}"
    yield f"  tokenizer: {quoted(subject.tokenizer)}"
    yield f"  template: {quoted(subject.template)}"
    yield "  runtime:"
    for name in ("engine", "version", "flavour", "target", "sha256"):
        yield f"    {name}: {quoted(getattr(runtime, name))}"


def _prompt(item: Recorded) -> Iterator[str]:
    prompt, said = item.prompt, item.said
    yield f"- id: {quoted(prompt.id)}"
    yield from (f"  {line}" for line in _question(prompt))
    yield f"  max_tokens: {prompt.max_tokens}"
    yield f"  top: {prompt.top}"
    yield f"  sha256: {quoted(sha256(prompt_bytes(prompt)))}"
    yield "  rendered:"
    yield f"    sha256: {quoted(sha256(said.rendered))}"
    yield f"    {_bytes(said.rendered)}"
    yield "  tokens:"
    yield f"    sha256: {quoted(tokens_digest(said.tokens))}"
    yield f"    ids: {_flow(said.tokens)}"
    yield "  output:"
    yield f"    end: {quoted(said.end)}"
    yield f"    sha256: {quoted(sha256(said.output))}"
    yield f"    {_bytes(said.output)}"
    yield f"    tokens_sha256: {quoted(tokens_digest(said.generated))}"
    yield "  steps:" if said.steps else "  steps: []"
    yield from (f"  - {_step(step)}" for step in said.steps)


def _question(prompt: Prompt) -> Iterator[str]:
    if prompt.text is None:
        yield "messages:"
        for message in prompt.messages:
            yield f"- {{role: {quoted(message.role)}, content: {quoted(message.content)}}}"
        return
    yield f"text: {quoted(prompt.text)}"
    yield f"add_special: {_flag(prompt.add_special)}"
    yield f"parse_special: {_flag(prompt.parse_special)}"


def _step(step: Step) -> str:
    top = _flow(map(_logit, step.top))
    return f"{{token: {step.token}, {_bytes(step.piece)}, logits: {quoted(step.logits)}, top: {top}}}"


def _logit(logit: Logit) -> str:
    return f'[{logit[0]}, "{logit[1]:08x}"]'


def _likelihood(item: RecordedText) -> Iterator[str]:
    found = item.likelihood
    yield "likelihood:"
    yield f"  text: {quoted(item.text)}"
    yield f"  sha256: {quoted(item.sha256)}"
    yield "  tokens:"
    yield f"    sha256: {quoted(tokens_digest(found.tokens))}"
    yield f"    ids: {_flow(found.tokens)}"
    yield f"  count: {found.count}"
    yield f"  nats: {decimal(found.value)}"
    yield f"  bits: {quoted(f'{found.bits:016x}')}"
    yield f"  logits: {quoted(found.logits)}"
