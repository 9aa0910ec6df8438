"""Compare a record with a replay, stage by stage (spec/1, 15.4): where they part, and by how much.

After the first token that differs nothing can be compared any more: from there on the model answers something else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from llamafile_format.engines.behaviour import Agreement, Record, Recorded, RecordedText, Tolerance, worst
from llamafile_format.engines.trace import Likelihood, PromptTrace, Step, Trace, logit_value

MORE = 32
"""So many more of the highest logits a replay asks for, so that a recorded token is found where it moved (15.4.3)."""

EQUAL, DIFFERS, SKIPPED = "equal", "differs", "not compared"
STAGES = ("rendered", "tokens", "logits", "output", "text")


@dataclass(frozen=True, slots=True)
class Difference:
    """The first step at which a stage differs. Tokens are -1 where one side had ended."""

    step: int
    recorded: int
    found: int


@dataclass(frozen=True, slots=True)
class PromptResult:
    """What became of one prompt. ``stages`` maps each of STAGES to equal, differs or not compared.

    ``steps`` were recorded, ``compared`` of them compared. ``max_abs`` is the largest difference of a recorded logit,
    ``max_ulp`` the same counted in steps of binary32; both over the compared steps.
    """

    id: str
    agreement: Agreement
    stages: dict[str, str]
    steps: int
    compared: int
    logits: Difference | None
    token: Difference | None
    max_abs: float
    max_ulp: int
    text: bytes

    @property
    def same_input(self) -> bool:
        """True if the model was asked the same tokens."""
        return self.stages["rendered"] == EQUAL == self.stages["tokens"]


@dataclass(frozen=True, slots=True)
class LikelihoodResult:
    """The likelihood of the registered text, in nats over all tokens; ``difference`` in nats a token."""

    text: str
    agreement: Agreement
    tokens: str
    logits: str
    recorded: float
    found: float
    difference: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The whole record against one replay."""

    prompts: tuple[PromptResult, ...]
    likelihood: LikelihoodResult | None

    @property
    def agreement(self) -> Agreement:
        """The worst of all."""
        found = [prompt.agreement for prompt in self.prompts]
        return worst([*found, self.likelihood.agreement] if self.likelihood else found)


def compare(record: Record, replay: Trace) -> Comparison:
    """Compare every prompt and the likelihood."""
    near = record.tolerance
    found = tuple(compare_prompt(item, said, near) for item, said in zip(record.prompts, replay.prompts, strict=True))
    likelihood = None
    if record.likelihood is not None and replay.likelihood is not None:
        likelihood = compare_likelihood(record.likelihood, replay.likelihood, near)
    return Comparison(found, likelihood)


def compare_prompt(item: Recorded, said: PromptTrace, near: Tolerance) -> PromptResult:
    """One prompt, in the order of its stages."""
    old = item.said
    stages = dict.fromkeys(STAGES, SKIPPED)
    stages["rendered"] = EQUAL if old.rendered == said.rendered else DIFFERS
    stages["tokens"] = EQUAL if old.tokens == said.tokens else DIFFERS
    token = _first(old, said, lambda step: step.token)
    stages["output"] = EQUAL if token is None and old.end == said.end else DIFFERS
    stages["text"] = EQUAL if old.output == said.output else DIFFERS
    logits: Difference | None = None
    compared = 0
    moved = _Moved()
    if stages["tokens"] == EQUAL:
        # The step at which the tokens part is compared too: its logits answer the same question.
        shared = min(len(old.steps), len(said.steps))
        compared = shared if token is None else min(shared, token.step + 1)
        logits = _first(old, said, lambda step: step.logits, compared)
        stages["logits"] = EQUAL if logits is None else DIFFERS
        for before, after in zip(old.steps[:compared], said.steps[:compared], strict=True):
            moved.add(before, after)
    return PromptResult(
        id=item.prompt.id,
        agreement=_agreement(stages, moved.most, near, close=_close_call(old, said, token, near)),
        stages=stages,
        steps=len(old.steps),
        compared=compared,
        logits=logits,
        token=token,
        max_abs=moved.most,
        max_ulp=moved.ulps,
        text=said.output,
    )


def _agreement(stages: dict[str, str], most: float, near: Tolerance, *, close: bool) -> Agreement:
    """The class of one prompt. ``most`` is how far a logit moved, ``close`` whether that can have tipped the choice."""
    if set(stages.values()) == {EQUAL}:
        return Agreement.EXACT
    if stages["rendered"] != EQUAL or stages["tokens"] != EQUAL or most > near.logit:
        return Agreement.NONE
    if stages["output"] == EQUAL == stages["text"]:
        return Agreement.TOKENS
    return Agreement.NEAR if close else Agreement.NONE


def _close_call(old: PromptTrace, said: PromptTrace, token: Difference | None, near: Tolerance) -> bool:
    """True if both tokens of the first different step were so close in the record that the tolerance covers them."""
    if token is None or not token.step < min(len(old.steps), len(said.steps)):
        return False
    before = dict(old.steps[token.step].top)
    if token.found not in before:
        return False
    return logit_value(before[token.recorded]) - logit_value(before[token.found]) <= 2 * near.logit


def _first(
    old: PromptTrace, said: PromptTrace, key: Callable[[Step], object], most: int | None = None
) -> Difference | None:
    """The first step at which ``key`` differs, one side's end included (unless ``most`` steps are all that count)."""
    for index, (before, after) in enumerate(zip(old.steps[:most], said.steps[:most], strict=False)):
        if key(before) != key(after):
            return Difference(index, before.token, after.token)
    if most is None and len(old.steps) != len(said.steps):
        index = min(len(old.steps), len(said.steps))
        return Difference(index, _token(old, index), _token(said, index))
    return None


def _token(said: PromptTrace, index: int) -> int:
    return said.steps[index].token if index < len(said.steps) else -1


class _Moved:
    """The largest difference of recorded logits so far."""

    def __init__(self) -> None:
        self.most = 0.0
        self.ulps = 0

    def add(self, before: Step, after: Step) -> None:
        """Compare the recorded logits of one step. A token that fell out of the list counts with the list's last."""
        found = dict(after.top)
        last = after.top[-1][1] if after.top else 0
        for token, bits in before.top:
            other = found.get(token, min(last, bits, key=logit_value))
            self.ulps = max(self.ulps, abs(ordered(bits) - ordered(other)))
            if bits != other:
                gap = abs(logit_value(bits) - logit_value(other))
                self.most = max(self.most, math.inf if math.isnan(gap) else gap)


def ordered(bits: int) -> int:
    """binary32 ``bits`` as an integer of the same order: neighbouring numbers differ by 1, and both zeros are 0."""
    return -(bits & 0x7FFFFFFF) if bits >> 31 else bits


def compare_likelihood(old: RecordedText, found: Likelihood, near: Tolerance) -> LikelihoodResult:
    """The registered text: its tokens, its logits, the sum."""
    before = old.likelihood
    same = before.tokens == found.tokens and before.count == found.count
    difference = abs(before.value - found.value) / before.count
    if same and before.logits == found.logits and before.bits == found.bits:
        agreement = Agreement.EXACT
    else:  # there are no generated tokens that could be the same, so near enough is as good as it gets
        agreement = Agreement.TOKENS if same and difference <= near.likelihood else Agreement.NONE
    return LikelihoodResult(
        text=old.text,
        agreement=agreement,
        tokens=EQUAL if same else DIFFERS,
        logits=SKIPPED if not same else EQUAL if before.logits == found.logits else DIFFERS,
        recorded=before.value,
        found=found.value,
        difference=difference,
    )
