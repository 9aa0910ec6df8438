"""A behaviour record: what a model said, stage by stage, so that somebody later can tell where it departs (chapter 15).

The stages are those of generating text: prompt, rendered bytes, token ids, logits, output. Each has a digest, so that
a changed template, a changed tokenizer and changed arithmetic are told from one another (spec/1, 15.2).
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from llamafile_format.engines.trace import Likelihood, Prompt, PromptTrace, Request

FORMAT = "llamafile-behaviour/1"
FOLDER = "behaviour/"
MAX_RECORD = 4 << 20  # clause 15.2.2: some twenty thousand steps


class Agreement(Enum):
    """How far a replay agrees, best first (15.4): the same bits, the same tokens, numbers near enough, or not."""

    EXACT = "E"
    TOKENS = "T"
    NEAR = "N"
    NONE = "none"

    @property
    def rank(self) -> int:
        """0 for the best."""
        return list(Agreement).index(self)

    def meets(self, demanded: Agreement) -> bool:
        """True if this is at least as good as ``demanded``."""
        return self.rank <= demanded.rank


def worst(found: Iterable[Agreement]) -> Agreement:
    """The worst of ``found``; exact if there is none."""
    return max(found, key=lambda agreement: agreement.rank, default=Agreement.EXACT)


@dataclass(frozen=True, slots=True)
class Part:
    """A member of weights that the record is about."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Runtime:
    """The build that was recorded. ``sha256`` is that of the program."""

    engine: str
    version: str
    flavour: str
    target: str
    sha256: str

    def kin(self, other: Runtime) -> bool:
        """True if both are builds of one engine, version and flavour: only then the same bits are promised."""
        return (self.engine, self.version, self.flavour) == (other.engine, other.version, other.flavour)


@dataclass(frozen=True, slots=True)
class Subject:
    """What was recorded. ``tokenizer`` and ``template`` are digests (15.2.4); without template it is empty."""

    weights: tuple[Part, ...]
    tokenizer: str
    template: str
    runtime: Runtime


@dataclass(frozen=True, slots=True)
class Environment:
    """Where the record was made: the host, what the build ran by (empty: nothing), and its choice of instructions."""

    host: str
    via: str
    cpu: str


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What is near enough: a logit's difference, and the mean difference of the log-likelihood in nats a token."""

    logit: float = 0.5
    likelihood: float = 0.05


@dataclass(frozen=True, slots=True)
class Run:
    """A repetition while the record was made, and how it agreed with the first run."""

    threads: int
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class Recorded:
    """One prompt and what became of it."""

    prompt: Prompt
    said: PromptTrace


@dataclass(frozen=True, slots=True)
class RecordedText:
    """Likelihood of a registered text: ``text`` is its id, ``sha256`` that of its bytes (15.6)."""

    text: str
    sha256: str
    likelihood: Likelihood


@dataclass(frozen=True, slots=True)
class Record:
    """A whole record. ``context`` and ``batch`` in tokens; ``agreement`` is what a replay has to reach."""

    subject: Subject
    environment: Environment
    agreement: Agreement
    runs: tuple[Run, ...]
    tolerance: Tolerance
    vocabulary: int
    context: int
    batch: int
    threads: int
    prompts: tuple[Recorded, ...]
    likelihood: RecordedText | None

    def request(self, *, threads: int | None = None, more: int = 0) -> Request:
        """The request that repeats this record, with ``more`` of the highest logits than were recorded."""
        return Request(
            prompts=tuple(
                replace(item.prompt, top=min(self.vocabulary, item.prompt.top + more)) for item in self.prompts
            ),
            threads=threads or self.threads,
            context=self.context,
            batch=self.batch,
            likelihood=texts().get(self.likelihood.text) if self.likelihood else None,
        )


def member_of(name: str) -> str:
    """Member path of the record ``name``."""
    return f"{FOLDER}{name}.yaml"


def sha256(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def prompt_bytes(prompt: Prompt) -> bytes:
    """The prompt as bytes, for its digest: the text, or the messages as canonical JSON (15.2.5)."""
    if prompt.text is not None:
        return prompt.text.encode("utf-8", "surrogatepass")
    messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
    return json.dumps(messages, sort_keys=True, separators=(",", ":")).encode("ascii")


def tokens_digest(tokens: Iterable[int]) -> str:
    """SHA-256 over token ids, four bytes each, least significant first."""
    digest = hashlib.sha256()
    for token in tokens:
        digest.update(struct.pack("<I", token))
    return digest.hexdigest()


def texts() -> dict[str, str]:
    """The registered texts by id (registry/behaviour-texts.yaml)."""
    from llamafile_format.specdata import spec_yaml

    return {row["id"]: row["text"] for row in spec_yaml("registry/behaviour-texts.yaml")["texts"]}
