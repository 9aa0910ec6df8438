"""Ask llama.cpp, not ourselves, whether the exhibit is what we think it is.

    python examples/exhibit/samples.py --checkpoint exhibit.pt --models examples/exhibit

Three things are checked, with the `llama-cpp-python` package: llama.cpp cuts
text into the tokens the model was trained on; from the F32 file it continues
every prompt as PyTorch does, token for token; and the F16 and Q8_0 files write
whole labels too.  What it wrote goes to SAMPLES.json, for tests to compare, and the first
few labels go to the model card.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import llama_cpp
from llama_cpp import Llama as Engine

from export import FORMATS, load
from tokenizer import BOS, EOS

LIMIT = 250
BEGIN, END = "<!-- samples -->", "<!-- end of samples -->"
PROMPTS = (
    "Visitor: Tell me about the clock.\nLabel:",
    "Visitor: a brass astrolabe\nLabel:",
    "Visitor: Who made the printing press?\nLabel:",
    "Visitor: What are these spectacles?\nLabel:",
    "Visitor: Tell me about the submarine.\nLabel:",
    "This home computer",
    "The loom shown here",
    "A walnut telephone",
)
# Text that exercises the tokenizer rather than the model.
HARD_TEXTS = (
    "two  spaces and a trailing one ", "\n\nlines\n", "naïve café, 10 €", "日本語 🙂", "it's 1743: ten-to-four!?", "▁",
    "</s>", "Visitor:Label:Visitor", "zzxqj THE MUSEUM", "\ttab", " leading",
)  # fmt: skip


def tokens_of(engine: Engine, text: str) -> list[int]:
    """How llama.cpp cuts a text."""
    return list(engine.tokenize(text.encode(), add_bos=True, special=False))


def continue_greedily(engine: Engine, tokens: list[int]) -> list[int]:
    """How llama.cpp goes on, always with the likeliest token."""
    grown: list[int] = []
    for token in engine.generate(tokens, temp=0.0, repeat_penalty=1.0):
        if token == EOS or len(grown) == LIMIT:
            break
        grown.append(token)
    return grown


def into_card(card: Path, greedy: dict[str, dict[str, str]]) -> None:
    """Put the labels for the first three prompts between the marks in the model card."""
    lines = []
    for file, labels in greedy.items():
        lines.append(f"`{file}`\n")
        for prompt in PROMPTS[:3]:
            shown = "\n".join("    " + line for line in (prompt + labels[prompt]).splitlines())
            lines.append(f"{shown}\n")
    before, rest = card.read_text("utf-8").split(BEGIN)
    card.write_text("\n".join([before + BEGIN + "\n", *lines, END + rest.split(END)[1]]), "utf-8")


def main() -> None:
    """Check every format; stop at the first difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True, help="folder of the GGUF files; SAMPLES.json goes there")
    arguments = parser.parse_args()
    ours = load(arguments.checkpoint)

    greedy: dict[str, dict[str, str]] = {}
    for name in FORMATS:
        file = f"exhibit-{name}.gguf"
        engine = Engine(str(arguments.models / file), n_ctx=ours.model.shape.context, n_threads=2, verbose=False)
        for text in (*PROMPTS, *HARD_TEXTS):
            expected = [BOS, *ours.tokenizer.encode(text)]
            if tokens_of(engine, text) != expected:
                raise SystemExit(f"{file}: {text!r} is cut as {tokens_of(engine, text)}, not {expected}")
        greedy[file] = {}
        for prompt in PROMPTS:
            start = [BOS, *ours.tokenizer.encode(prompt)]
            grown = continue_greedily(engine, start)
            if len(grown) == LIMIT:
                raise SystemExit(f"{file}: {prompt!r} finds no end")
            if name == "f32" and grown != ours.model.continue_greedily(start, EOS, LIMIT):
                raise SystemExit(f"{file}: {prompt!r} goes on otherwise in PyTorch")
            greedy[file][prompt] = ours.tokenizer.decode(grown)
        agree = sum(greedy[file][prompt] == greedy["exhibit-f32.gguf"][prompt] for prompt in PROMPTS)
        print(f"{file}: tokens agree; {agree} of {len(PROMPTS)} labels are word for word those of F32")

    record = {
        "engine": f"llama-cpp-python {version('llama-cpp-python')}",
        "sampling": "greedy (temperature 0, no penalties), until </s>",
        "tokens": {prompt: [BOS, *ours.tokenizer.encode(prompt)] for prompt in PROMPTS},
        "greedy": greedy,
    }
    (arguments.models / "SAMPLES.json").write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")
    into_card(Path(__file__).with_name("MODEL_CARD.md"), greedy)
    print(llama_cpp.llama_print_system_info().decode())


if __name__ == "__main__":
    main()
