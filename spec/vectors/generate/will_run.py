"""Vectors of clause 14.7: archives, and what they will run. JSON, for every implementation alike.

The answers are written down here by hand, from the clause; nothing computes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

FOLDER = "will-run"
_CASES: dict[str, dict[str, Any]] = {}

NATIVE = "runtimes/llama.cpp/0.3.36/native/linux-x86_64"
REFERENCE = "runtimes/llama.cpp/0.3.36/reference/linux-x86_64"
NEWER = "runtimes/llama.cpp/0.4.0/native/linux-x86_64"
GPU = "runtimes/llama.cpp/0.3.36/gpu/linux-x86_64"
WINDOWS = "runtimes/llama.cpp/0.3.36/native/windows-x86_64"
PAGE = "runtimes/llama.cpp/0.3.36/webui.tar"

ROLES = {
    ".args": "arguments",
    "m.gguf": "weights",
    "n.gguf": "weights",
    "p.gguf": "projector",
    "q.gguf": "projector",
    "a.gguf": "adapter",
    "b.gguf": "adapter",
    "d.gguf": "draft",
    "t.jinja": "template",
    "g.gbnf": "asset",
    "s.json": "asset",
    "notes.txt": "document",
    NATIVE: "runtime",
    REFERENCE: "runtime",
    NEWER: "runtime",
    WINDOWS: "runtime",
    GPU: "runtime",
    PAGE: "asset",
}
NOTHING: dict[str, Any] = {
    "arguments": None,
    "dialect": "native",
    "tokens": [],
    "rest": None,
    "model": None,
    "template": None,
    "projector": None,
    "adapters": [],
    "draft": None,
    "grammar": None,
    "page": None,
    "builds": [],
}


def chosen(member: str, why: str, text: str = "") -> dict[str, str]:
    """One choice of an answer."""
    return {"member": member, "why": why, "text": text}


def option(member: str, text: str = "") -> dict[str, str]:
    """A member that ``.args`` names by ``text``, which is ``/zip/NAME`` unless given."""
    return chosen(member, "option", text or f"/zip/{member}")


def build(member: str, why: str, page: str = "") -> dict[str, Any]:
    """One build of an answer."""
    return {"member": member, "why": why, "starts": why not in ("behind", "gpu"), "page": page}


M = {"model": chosen("m.gguf", "default"), "template": chosen("m.gguf", "in-model")}


def case(
    name: str,
    comment: str,
    members: str,
    answer: Mapping[str, Any],
    *,
    arguments: str | None = None,
    roles: Mapping[str, str] | None = None,
    default: str = "m.gguf",
    manifest: bool = True,
    dialect: str = "native",
    today: str = "",
    here: Mapping[str, Any] | None = None,
) -> None:
    """Register a case. ``members`` are names separated by blanks, in file order, one every 65,536 bytes.

    ``here`` has the second half of 14.7.11: ``installation``, ``wish`` and ``here``.
    """
    names = members.split()
    if arguments is not None:
        names.insert(0, ".args")
    role_of = {**ROLES, **(roles or {})}
    archive: dict[str, Any] = {
        "members": [
            {"path": path, "role": role_of[path], "offset": 65536 * (index + 1)} for index, path in enumerate(names)
        ],
        "manifest": manifest,
        "default": default if manifest else "",
        "dialect": dialect,
        "arguments": arguments,
    }
    full = {**NOTHING, "dialect": dialect, **answer}
    if arguments is not None:
        full["arguments"] = chosen(".args", "name")
    entry: dict[str, Any] = {"comment": comment, "archive": archive, "answer": full}
    if today:
        entry["today"] = today
    if here is not None:
        entry |= here
    if name in _CASES:
        raise ValueError(f"two cases are named {name}")
    _CASES[name] = entry


def files() -> dict[str, bytes]:
    """Every file of the folder by name."""
    made = {f"{name}.json": _text(value) for name, value in _CASES.items()}
    made["versions.json"] = _text(VERSIONS)
    return made


def _text(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode("utf-8")


VERSIONS = {
    "comment": "Versions from the oldest to the newest (14.7.8).",
    "order": [
        "",
        "+1",
        "1..2",
        "1.0+",
        "1.0+1+2",
        "1.0-rc1",
        "999999999999999999999",
        "latest",
        "v0.9",
        "٣",
        "0.3",
        "0.3+7",
        "0.3.0",
        "0.3.9",
        "0.3.36",
        "0.3.36+0",
        "0.3.36+2",
        "0.3.36+10",
        "0.3.36.0",
        "0.10",
        "1",
        "2.0",
    ],
}

case("nothing", "No model and no runtime.", "notes.txt", {}, default="")
case("default", "The model that the manifest names, and not the first one.", "n.gguf m.gguf", M)
case("only-model", "A manifest without a default.", "m.gguf", {**M, "model": chosen("m.gguf", "first")}, default="")
case(
    "companions",
    "What goes with the default model: the first projector, all adapters, the draft.",
    "m.gguf p.gguf q.gguf a.gguf b.gguf d.gguf",
    {
        **M,
        "projector": chosen("p.gguf", "companion"),
        "adapters": [chosen("a.gguf", "companion"), chosen("b.gguf", "companion")],
        "draft": chosen("d.gguf", "companion"),
    },
)
case(
    "named-model",
    "A model that the arguments name comes without companions.",
    "m.gguf n.gguf p.gguf a.gguf d.gguf",
    {
        "tokens": ["-m", "/zip/n.gguf"],
        "rest": 2,
        "model": option("n.gguf"),
        "template": chosen("n.gguf", "in-model"),
    },
    arguments="-m\n/zip/n.gguf\n...\n",
)
case(
    "named-twice",
    "Of two options for the same thing the last counts, whatever the spelling.",
    "m.gguf n.gguf",
    {
        "tokens": ["--model", "/zip/n.gguf", "-m", "/zip/m.gguf"],
        "model": option("m.gguf"),
        "template": chosen("m.gguf", "in-model"),
    },
    arguments="--model /zip/n.gguf -m /zip/m.gguf",
)
case(
    "named-with-equals",
    "An option and its value in one argument.",
    "m.gguf n.gguf",
    {
        "tokens": ["--model=/zip/n.gguf"],
        "rest": 1,
        "model": option("n.gguf"),
        "template": chosen("n.gguf", "in-model"),
    },
    arguments="--model=/zip/n.gguf\n...\n",
    today="the server refuses to start: its parser knows no `=`; completion and trace take the model",
)
case(
    "hidden-arguments",
    "The name decides: arguments that pose as a document are arguments.",
    "m.gguf notes.txt",
    {
        "tokens": ["-m", "/zip/notes.txt"],
        "rest": 2,
        "model": option("notes.txt"),
        "template": chosen("notes.txt", "in-model"),
    },
    arguments="-m\n/zip/notes.txt\n...\n",
    roles={".args": "document"},
)
case(
    "decoy-arguments",
    "No runtime looks for another name, whatever its role.",
    "m.gguf default.args",
    {**M, "tokens": ["--temp", "0"], "rest": 2},
    arguments="--temp\n0\n...\n",
    roles={"default.args": "arguments"},
)
case(
    "outside",
    "A model that is not in the file.",
    "m.gguf",
    {
        "tokens": ["-m", "/srv/m.gguf"],
        "rest": 2,
        "model": chosen("", "outside", "/srv/m.gguf"),
        "template": chosen("", "in-model"),
    },
    arguments="-m\n/srv/m.gguf\n...\n",
)
case(
    "bare-name",
    "In the native dialect a bare name is a file beside the container, not a member.",
    "m.gguf",
    {
        "tokens": ["-m", "m.gguf"],
        "rest": 2,
        "model": chosen("", "outside", "m.gguf"),
        "template": chosen("", "in-model"),
    },
    arguments="-m\nm.gguf\n...\n",
)
case(
    "templates",
    "The last of two templates.",
    "t.jinja m.gguf",
    {
        **M,
        "tokens": ["--chat-template", "chatml", "--chat_template-file", "/zip/t.jinja"],
        "rest": 4,
        "template": option("t.jinja"),
    },
    arguments="--chat-template\nchatml\n--chat_template-file\n/zip/t.jinja\n...\n",
)
case(
    "template-inline",
    "A template that stands in the arguments; the one beside the weights is not used.",
    "t.jinja m.gguf",
    {**M, "tokens": ["--chat-template", "{{ x }}"], "rest": 2, "template": chosen("", "inline", "{{ x }}")},
    arguments="--chat-template\n'{{ x }}'\n...\n",
)
case(
    "adapters-named",
    "Adapters that the arguments name take the place of those that go with the model.",
    "m.gguf a.gguf b.gguf",
    {
        **M,
        "tokens": ["--lora-scaled", "/zip/b.gguf:0.5"],
        "rest": 2,
        "adapters": [option("b.gguf", "/zip/b.gguf:0.5")],
    },
    arguments="--lora-scaled\n/zip/b.gguf:0.5\n...\n",
    today="adapters that go with the model are loaded besides, because only --lora replaces them",
)
case(
    "adapters-in-one-value",
    "Two adapters in one value.",
    "m.gguf a.gguf b.gguf",
    {
        **M,
        "tokens": ["--lora", "/zip/b.gguf,/zip/a.gguf"],
        "rest": 2,
        "adapters": [option("b.gguf", "/zip/b.gguf,/zip/a.gguf"), option("a.gguf", "/zip/b.gguf,/zip/a.gguf")],
    },
    arguments="--lora\n/zip/b.gguf,/zip/a.gguf\n...\n",
)
case(
    "no-projector",
    "The projector is switched off.",
    "m.gguf p.gguf",
    {**M, "tokens": ["--no-mmproj"], "rest": 1},
    arguments="--no-mmproj\n...\n",
)
case(
    "projector-on-again",
    "Of a switch and its negation the last counts.",
    "m.gguf p.gguf",
    {**M, "tokens": ["--no-mmproj", "--mmproj-auto"], "rest": 2, "projector": chosen("p.gguf", "companion")},
    arguments="--no-mmproj\n--mmproj-auto\n...\n",
    today="the projector is not loaded: --no-mmproj counts wherever it stands",
)
case(
    "draft-and-grammar",
    "A draft and a grammar by name.",
    "g.gbnf s.json m.gguf d.gguf",
    {
        **M,
        "tokens": ["-md", "/zip/d.gguf", "--grammar-file", "/zip/g.gbnf", "-jf", "/zip/s.json"],
        "rest": 6,
        "draft": option("d.gguf"),
        "grammar": option("s.json"),
    },
    arguments="-md\n/zip/d.gguf\n--grammar-file\n/zip/g.gbnf\n-jf\n/zip/s.json\n...\n",
)
case(
    "builds",
    "On each target the first native build; the page is that of the engine that starts.",
    f"{PAGE} {REFERENCE} {NATIVE} {WINDOWS} {NEWER} m.gguf",
    {
        **M,
        "page": chosen(PAGE, "name"),
        "builds": [
            build(REFERENCE, "behind"),
            build(NATIVE, "native", PAGE),
            build(WINDOWS, "native", PAGE),
            build(NEWER, "behind"),
        ],
    },
)
case(
    "older-first",
    "The first by offset starts, and not the newest.",
    f"{NEWER} {NATIVE} m.gguf",
    {**M, "builds": [build(NEWER, "native"), build(NATIVE, "behind")]},
)
case(
    "reference-only",
    "A target without a native build.",
    f"{REFERENCE} m.gguf",
    {**M, "builds": [build(REFERENCE, "only")]},
)
case(
    "gpu",
    "A build for graphics processors, though the first, is started by nobody but the native one.",
    f"{PAGE} {GPU} {NATIVE} {REFERENCE} m.gguf",
    {
        **M,
        "page": chosen(PAGE, "name"),
        "builds": [build(GPU, "gpu", PAGE), build(NATIVE, "native", PAGE), build(REFERENCE, "behind")],
    },
)
case(
    "gpu-alone",
    "Nothing starts it.",
    f"{PAGE} {GPU} m.gguf",
    {**M, "builds": [build(GPU, "gpu", PAGE)]},
)
case(
    "gpu-and-reference",
    "On a target without a native build the first that is no gpu build starts.",
    f"{GPU} {REFERENCE} m.gguf",
    {**M, "builds": [build(GPU, "gpu"), build(REFERENCE, "only")]},
)
case(
    "page-by-name",
    "A runtime finds its page by name, whatever the role.",
    f"{PAGE} {NATIVE} m.gguf",
    {**M, "page": chosen(PAGE, "name"), "builds": [build(NATIVE, "native", PAGE)]},
    roles={PAGE: "document"},
)
case(
    "page-without-build",
    "A page that the runtime of an installation would find.",
    f"{PAGE} m.gguf",
    {**M, "page": chosen(PAGE, "name")},
)
case(
    "legacy",
    "A legacy llamafile: the first model that is no projector, by name.",
    "mmproj-x.gguf m.gguf",
    {
        "dialect": "quoted",
        "model": chosen("m.gguf", "first"),
        "template": chosen("m.gguf", "in-model"),
        "projector": chosen("mmproj-x.gguf", "companion"),
    },
    roles={"mmproj-x.gguf": "weights"},
    manifest=False,
    dialect="quoted",
)
case(
    "legacy-bare-name",
    "Classic engines name bundled weights without /zip/.",
    "n.gguf m.gguf",
    {
        "tokens": ["-m", "m.gguf"],
        "rest": 2,
        "model": option("m.gguf", "m.gguf"),
        "template": chosen("m.gguf", "in-model"),
    },
    arguments="-m\nm.gguf\n...\n",
    manifest=False,
    dialect="lines",
)


# What starts here (14.7.11): the answer about the archive stays what it is.

NEXT = "runtimes/llama.cpp/0.3.36+1/native/linux-x86_64"
NEXT_REFERENCE = "runtimes/llama.cpp/0.3.36+1/reference/linux-x86_64"
OTHER_ENGINE = "runtimes/bitnet.cpp/9.0/native/linux-x86_64"
ROLES[OTHER_ENGINE] = "runtime"
_NO_WISH = {"runtime": "", "flavour": "", "embedded": False}


def here_case(
    name: str,
    comment: str,
    inside: Mapping[str, str],
    installed: str,
    here: tuple[str, str] | tuple[str, str, str] | None,
    *,
    target: str = "linux-x86_64",
    barred: str = "",
    unfit: str = "",
    **wish: str | bool,
) -> None:
    """Register a case of 14.7.11: the builds inside and why, and ``here``: build, why, and in whose place.

    ``installed`` are builds separated by blanks; one of a pin that is not complete has ``?`` behind it.
    """
    answer = None
    if here is not None:
        build_path, why, instead = (*here, "") if len(here) == 2 else here
        origin = "file" if why == "own" else "installation"
        answer = {"build": build_path, "origin": origin, "why": why, "instead": instead}
    builds = [{"build": each.rstrip("?"), "complete": not each.endswith("?")} for each in installed.split()]
    installation = {"target": target, "builds": builds, "barred": barred.split(), "unfit": unfit.split()}
    case(
        f"here-{name}",
        comment,
        " ".join([*inside, "m.gguf"]),
        {**M, "builds": [build(path, why) for path, why in inside.items()]},
        here={"installation": installation, "wish": {**_NO_WISH, **wish}, "here": answer},
    )


OWN = {NATIVE: "native"}
BOTH = {REFERENCE: "behind", NATIVE: "native"}
here_case("own", "An installation of the same version.", OWN, NATIVE, (NATIVE, "own"))
here_case("newer", "A complete newer pin takes the place.", OWN, f"{NATIVE} {NEXT}", (NEXT, "newer", NATIVE))
here_case("newest", "Of two newer pins the newest.", OWN, f"{NEXT} {NEWER}", (NEWER, "newer", NATIVE))
here_case("incomplete", "Half a pin takes nobody's place.", OWN, f"{NEXT}?", (NATIVE, "own"))
here_case("older", "An older build takes no place.", {NEWER: "native"}, f"{NATIVE} {NEXT}", (NEWER, "own"))
here_case("embedded", "The user insists on the file's own.", OWN, NEXT, (NATIVE, "own"), embedded=True)
here_case("version", "A version that is named is that version.", OWN, NEXT, (NATIVE, "own"), runtime="llama.cpp@0.3.36")
here_case("engine", "An engine that is named may be newer.", OWN, NEXT, (NEXT, "newer", NATIVE), runtime="llama.cpp")
here_case("unfit", "The newest does not take the models.", OWN, NEXT, (NATIVE, "own"), unfit="llama.cpp@0.3.36+1")
here_case(
    "unfit-newest",
    "The newest does not take the models: there is no second best.",
    OWN,
    f"{NEXT} {NEWER}",
    (NATIVE, "own"),
    unfit="llama.cpp@0.4.0",
)
here_case("other-flavour", "A newer build of another flavour takes no place.", OWN, NEXT_REFERENCE, (NATIVE, "own"))
here_case(
    "flavour",
    "Each flavour has a successor of its own.",
    BOTH,
    f"{NEXT} {NEXT_REFERENCE}",
    (NEXT_REFERENCE, "newer", REFERENCE),
    flavour="reference",
)
here_case("other-engine", "A newer version of another engine is no successor.", OWN, OTHER_ENGINE, (NATIVE, "own"))
here_case(
    "absent", "The file has none for this system.", {WINDOWS: "native"}, f"{NEXT} {NEXT_REFERENCE}", (NEXT, "absent")
)
here_case("absent-complete", "A complete pin before a newer one.", {}, f"{NATIVE} {NEXT}?", (NATIVE, "absent"))
here_case("absent-half", "Half a pin is better than nothing.", {}, f"{NEXT}?", (NEXT, "absent"))
here_case(
    "absent-version",
    "A version that only the installation has.",
    OWN,
    NEXT,
    (NEXT, "absent"),
    runtime="llama.cpp@0.3.36+1",
)
here_case("absent-embedded", "The user insists, and the file has none.", {}, NEXT, None, embedded=True)
here_case("barred", "The file's own is not known here.", OWN, NATIVE, (NATIVE, "barred", NATIVE), barred=NATIVE)
here_case("barred-embedded", "It is not started by insisting.", OWN, NATIVE, None, barred=NATIVE, embedded=True)
here_case("nothing", "There is no build anywhere.", {WINDOWS: "native"}, "", None)
here_case(
    "gpu",
    "A native build starts, and it alone the one for graphics processors.",
    {GPU: "gpu", **OWN},
    "",
    (NATIVE, "own"),
)
here_case("gpu-alone", "A build that a native one would start.", {GPU: "gpu"}, "", None)
here_case("gpu-wanted", "Nobody starts it by wishing.", {GPU: "gpu", **OWN}, "", None, flavour="gpu")
here_case("gpu-installed", "Nor one of the installation.", {}, GPU.replace("0.3.36", "0.3.36+1"), None)
