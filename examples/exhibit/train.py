"""Train the exhibit from nothing, and export it.

    python examples/exhibit/train.py --out examples/exhibit

The text has no end and no file: each step asks the grammar for more.  Seeds,
threads and algorithms are fixed; on one machine the same command gives the
same weights.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from export import export
from grammar import Writer
from model import Llama, Shape
from tokenizer import BOS, EOS, Tokenizer, learn

SEED = 1
ROWS = 8
PEAK_RATE = 6e-3
WARM_UP = 60
PROMPTS = ("Visitor: Tell me about the clock.\nLabel:", "Visitor: a brass astrolabe\nLabel:", "This home computer")


def rows(tokenizer: Tokenizer, documents: Iterator[str], length: int) -> Iterator[list[int]]:
    """Fill rows with whole documents, cutting only the last one of each.

    A row opens with a document, as a prompt does, and goes on to others, so
    that the model sees every position and learns to begin afresh at each <s>.
    """
    while True:
        row: list[int] = []
        while len(row) < length:
            row += [BOS, *tokenizer.encode(next(documents)), EOS]
        yield row[:length]


def batches(tokenizer: Tokenizer, seed: int, shape: Shape) -> Iterator[Tensor]:
    """Rows of one token more than the context, so that every position has a next token."""
    source = rows(tokenizer, Writer(seed).documents(), shape.context + 1)
    while True:
        yield torch.tensor(list(islice(source, ROWS)))


def loss_on(model: Llama, batch: Tensor) -> Tensor:
    """Mean surprise, in nats, at the next token."""
    return cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())


def rate(step: int, steps: int) -> float:
    """A short rise, then half a cosine down to nothing."""
    if step < WARM_UP:
        return PEAK_RATE * (step + 1) / WARM_UP
    return PEAK_RATE * 0.5 * (1 + math.cos(math.pi * (step - WARM_UP) / max(1, steps - WARM_UP)))


def train(tokenizer: Tokenizer, shape: Shape, steps: int) -> Llama:
    """Fit a new model to the grammar."""
    torch.manual_seed(SEED)
    model = Llama(shape)
    matrices = [weight for weight in model.parameters() if weight.ndim == 2]
    scales = [weight for weight in model.parameters() if weight.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": scales, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98))
    began = time.monotonic()
    for step, batch in enumerate(islice(batches(tokenizer, SEED, shape), steps)):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, steps)
        loss = loss_on(model, batch)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step % 50 == 0 or step == steps - 1:
            print(f"step {step:5}  loss {loss.item():.4f}  {time.monotonic() - began:5.0f} s", flush=True)
    return model


@torch.inference_mode()
def judge(model: Llama, tokenizer: Tokenizer) -> float:
    """Loss on text from a seed the training never used."""
    return sum(loss_on(model, batch).item() for batch in islice(batches(tokenizer, SEED + 1, model.shape), 8)) / 8


def main() -> None:
    """Learn the vocabulary, train, save the checkpoint, export, and show some labels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint and the GGUF files")
    parser.add_argument("--steps", type=int, default=3000)
    arguments = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(2)

    shape = Shape()
    tokenizer = learn(islice(Writer(SEED).documents(), 10_000), shape.vocab)
    model = train(tokenizer, shape, arguments.steps)
    print(f"held-out loss {judge(model, tokenizer):.4f}, {sum(p.numel() for p in model.parameters()):,} parameters")

    arguments.out.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.out / "exhibit.pt"
    torch.save({"shape": asdict(shape), "pieces": tokenizer.pieces, "weights": model.state_dict()}, checkpoint)
    for path in export(checkpoint, arguments.out):
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    for prompt in PROMPTS:
        ids = [BOS, *tokenizer.encode(prompt)]
        print(f"\n{prompt}{tokenizer.decode(model.continue_greedily(ids, EOS, 250))}")


if __name__ == "__main__":
    main()
