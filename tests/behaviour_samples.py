"""A runtime that is a script: it speaks the trace protocol, and can be told to drift, lie, hang or die."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import llamafile_format as lf
from llamafile_format.engines.host import host_target
from spec.vectors.generate.gguf_builder import STRING, V3, model, vocabulary

ENGINE, VERSION, VOCABULARY = "llama.cpp", "9.9.9", 16
TARGET = host_target() or "linux-x86_64"

_PROGRAM = '''#!{python} -I
"""A model of sixteen tokens whose logits are digests; CONTROL says how it misbehaves."""
import hashlib, json, math, os, struct, sys, time

FLAVOUR, CONTROL = {flavour!r}, {control!r}
try:
    control = json.load(open(CONTROL))
except FileNotFoundError:
    control = {{}}

def say(**event):
    event.update(control.get("lie", {{}}).get(event["event"], {{}}))
    for name in control.get("omit", {{}}).get(event["event"], []):
        event.pop(name, None)
    if event["event"] in control.get("leave_out", []):
        return
    print(json.dumps(event), flush=True)
    if control.get("die_after") == event["event"]:
        os.abort()
    if control.get("hang_after") == event["event"]:
        time.sleep(60)
    if control.get("flood_after") == event["event"]:
        while True:
            print("x" * 65536)

def logits(name, step, threads):
    found = []
    for token in range({vocabulary}):
        digest = hashlib.sha256(f"{{name}} {{step}} {{token}}".encode()).digest()
        found.append(digest[0] / 16)
    nudge = control.get("nudge", 0) if step >= control.get("from", 0) else 0
    found[control.get("which", 0)] += nudge
    if control.get("threads_matter"):
        found[1] += threads * control["threads_matter"]
    order = sorted(range({vocabulary}), key=lambda token: (-found[token], token))
    if control.get("close") is not None:
        found[order[1]] = found[order[0]] - control["close"]
        if control.get("tip") == step:
            found[order[1]] = found[order[0]] + 0.25
    return found

def bits(value):
    return struct.pack(">f", value).hex()

def row_bytes(row):
    return b"".join(struct.pack("<f", value) for value in row)

print(control.get("complain", ""), end="", file=sys.stderr, flush=True)
if control.get("environment"):
    with open(control["environment"], "w") as file:
        json.dump({{"environment": dict(os.environ), "argv": sys.argv[1:], "cwd": os.getcwd()}}, file)
request = json.load(sys.stdin)
threads = request["threads"]
say(event="runtime", engine="{engine}", version="{version}", target="{target}", flavour=FLAVOUR, cpu="generic",
    vocabulary={vocabulary}, context=request["context"], threads=threads, batch=request["batch"])
for prompt in request["prompts"]:
    name = prompt["id"]
    if "text" in prompt:
        text = prompt["text"]
    else:
        text = "".join(f"<{{m['role']}}>{{m['content']}}" for m in prompt["messages"]) + "<model>"
    rendered = (text + control.get("template", "")).encode()
    tokens = [byte % {vocabulary} for byte in rendered[: control.get("split", 99)]]
    say(event="prompt", id=name, rendered=rendered.hex(), tokens=tokens)
    reason, limit = "length", min(prompt["max_tokens"], control.get("stop", 10**6))
    for step in range(limit):
        row = logits(name, step, threads)
        order = sorted(range({vocabulary}), key=lambda token: (-row[token], token))
        piece = bytes([97 + order[0]]) + control.get("spelling", "").encode()
        top = [[token, bits(row[token])] for token in order[: prompt["top"]]]
        say(event="step", id=name, step=step, token=order[0], piece=piece.hex(),
            logits=hashlib.sha256(row_bytes(row)).hexdigest(), top=top)
    if limit < prompt["max_tokens"]:
        reason = "end-of-generation"
    say(event="end", id=name, reason=control.get("reason", reason))
if "nll" in request:
    tokens = [byte % {vocabulary} for byte in request["nll"]["text"].encode()]
    value = 100.0 + control.get("likelihood", 0)
    say(event="nll", count=len(tokens) - 1, tokens=tokens, bits=struct.pack(">d", value).hex(), value=value,
        logits=hashlib.sha256(bits(value).encode()).hexdigest())
say(event="done")
print(control.get("after", ""), end="")
sys.exit(control.get("code", 0))
'''


class Fake:
    """The program, and the file that tells it what to do."""

    def __init__(self, folder: Path, flavour: str = "reference", version: str = VERSION) -> None:
        self.control = folder / f"control-{flavour}.json"
        self.program = folder / f"runtime-{flavour}-{version}"
        self.flavour = flavour
        self.version = version
        self.program.write_text(
            _PROGRAM.format(
                python=sys.executable,
                flavour=flavour,
                control=str(self.control),
                engine=ENGINE,
                version=version,
                target=TARGET,
                vocabulary=VOCABULARY,
            ),
            encoding="utf-8",
        )
        self.program.chmod(0o755)

    @property
    def member(self) -> str:
        """Its place in a container."""
        return f"runtimes/{ENGINE}/{self.version}/{self.flavour}/{TARGET}"

    def tell(self, **control: Any) -> None:
        """From now on it does this."""
        self.control.write_text(json.dumps(control), encoding="utf-8")


def gguf(template: str = "{{ messages }}", name: str = "tiny") -> bytes:
    """A model with a vocabulary and a chat template."""
    extra = [*vocabulary(), V3.entry("general.name", STRING, name)]
    if template:
        extra.append(V3.entry("tokenizer.chat_template", STRING, template))
    return model(*extra)


def pack(folder: Path, *fakes: Fake, template: str = "{{ messages }}") -> Path:
    """A container with a model and these runtimes."""
    weights, out = folder / "tiny.gguf", folder / "sample.llamafile"
    weights.write_bytes(gguf(template))
    includes = [lf.Include(fake.program, fake.member, "runtime") for fake in fakes]
    lf.pack([weights], out, prefix="none", include=includes, force=True)
    return out


def bits_of(value: float) -> int:
    """The binary32 encoding of ``value``."""
    return int(struct.unpack("<I", struct.pack("<f", value))[0])
