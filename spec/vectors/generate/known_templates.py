"""Write the rows of ``spec/registry/templates.yaml`` for a folder of templates: digests and facts, no texts.

    python -m spec.vectors.generate.known_templates FOLDER SOURCE > spec/registry/templates.yaml

The family is that of the first name below which the file's name has; a new name is added here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from llamafile_format.checks.template_family import literals_of, marks_of, template_digest

HEAD = """\
# Chat templates that are known (spec/1, 11.9): facts to compare with, no texts. Rows are added, and never changed.
# sha256: of the normalised text; family: whose; source: where it was found; literals, marks: digests of the normalised
# literals of five words or more, and of what stands around turns, the first 32 digits of each.
templates:
"""
FAMILIES = {
    "hermes": "hermes",
    "firefunction": "firefunction",
    "functionary": "functionary",
    "deepseek": "deepseek",
    "smollm": "smollm",
    "seed-oss": "seed",
    "cohere": "command",
    "ministral": "mistral",
    "devstral": "mistral",
    "mistral": "mistral",
    "qwq": "qwen",
    "hy3": "hunyuan",
    "llama-cpp-rwkv": "rwkv",
    "apertus": "apertus",
    "apriel": "apriel",
    "bielik": "bielik",
    "glm": "glm",
    "gigachat": "gigachat",
    "kimi": "kimi",
    "lfm": "lfm",
    "mimo": "mimo",
    "minimax": "minimax",
    "nemotron": "nemotron",
    "qwen": "qwen",
    "reka": "reka",
    "spark": "spark",
    "stepfun": "step",
    "gemma": "gemma",
    "granite": "granite",
    "ling": "ling",
    "meta-llama": "llama",
    "phi": "phi",
    "muse": "muse",
    "gpt-oss": "gpt-oss",
    "minicpm": "minicpm",
    "laguna": "laguna",
    "solar": "solar",
}


def row(path: Path, source: str) -> str:
    """One template as a row. KeyError if nobody said of what family it is."""
    text = path.read_bytes().decode("utf-8")
    name = next((name for name in FAMILIES if name in path.name.lower()), None)
    if name is None:
        raise KeyError(f"{path.name}: of what family is it?")
    literals = " ".join(sorted({literal.digest for literal in literals_of(text)}))
    fields = {
        "sha256": template_digest(text),
        "family": FAMILIES[name],
        "source": f"{source}/{path.name}",
        "literals": literals,
        "marks": " ".join(sorted(marks_of(text))),
    }
    lines = [f"{key}: {value if key == 'family' else json.dumps(value)}" for key, value in fields.items()]
    return "- " + "\n  ".join(lines) + "\n"


def registry(folder: Path, source: str) -> str:
    """The registry of all templates in ``folder``; of equal ones the first."""
    rows: dict[str, str] = {}
    for path in sorted(folder.glob("*.jinja")):
        text = row(path, source)
        rows.setdefault(text.partition("\n")[0], text)
    return HEAD + "".join(rows.values())


if __name__ == "__main__":
    print(registry(Path(sys.argv[1]), sys.argv[2]), end="")
