"""Containers whose arguments ask for what a file may not ask for (3.10); the small ones are in chapter arguments."""

from __future__ import annotations

from spec.vectors.generate import vector
from spec.vectors.generate.forge import Part, Spec, container, parts
from spec.vectors.generate.runtimes import build, pin

CHAPTER = "options"
_ORDER = ["readme", "document", "license", "template", "arguments", "asset", "runtime", "weights"]


def with_arguments(text: str, *more: Part) -> bytes:
    """A model with the arguments ``text``, and ``more``."""
    given = [Part(".args", text.encode(), "arguments", "text/plain"), *more, *parts()]
    given.sort(key=lambda part: (_ORDER.index(part.role), part.name))
    return container(Spec(given, labels={"default": "tiny.gguf"}))


TEMPLATE = Part("chat.jinja", b"{{ messages[0].content }}", "template", "text/x-jinja")


@vector("good", near="LF6119 LF6122 LF6126 LF6127", comment="Sampling, context, and a template that is in the file.")
def good() -> bytes:
    return with_arguments("--temp\n0.2\n-c\n4096\n--chat-template-file\n/zip/chat.jinja\n...\n", TEMPLATE)


@vector(
    "log-file",
    rules="LF6119",
    layer="content",
    comment="Data alone, and yet whoever served it had a file of their own overwritten.",
)
def log_file() -> bytes:
    return with_arguments("--log_file ../x -lv 4 ...\n")


@vector(
    "template-is-document", rules="LF6001 LF6122", layer="content", comment="A template that nobody checked as one."
)
def template_is_document() -> bytes:
    hidden = Part("notes.txt", b"{{ ''.__class__ }}", "document", "text/plain")
    return with_arguments("--chat-template-file\n/zip/notes.txt\n...\n", hidden)


@vector(
    "arguments-as-template",
    rules="LF6119 LF6122",
    layer="content",
    comment="The arguments name themselves as the template: they are arguments all the same.",
)
def arguments_as_template() -> bytes:
    return with_arguments("--chat-template-file\n/zip/.args\n--host\n0.0.0.0\n...\n")


@vector("template-inline", rules="LF6001", layer="content", comment="A template in the arguments is a template.")
def template_inline() -> bytes:
    return with_arguments("--chat-template\n\"{{ ''.__class__ }}\"\n...\n")


@vector("grammar-member", rules="LF6126", layer="content", comment="Repetitions in repetitions.")
def grammar_member() -> bytes:
    grammar = Part("g.gbnf", b'root ::= (("a"{1,1000}){1,1000}){1,1000}\n', "asset", "application/octet-stream")
    return with_arguments("--grammar-file\n/zip/g.gbnf\n...\n", grammar)


@vector(
    "unknown-engine",
    rules="LF3330 LF6127",
    valid="undetermined",
    comment="An engine whose options no table lists: what all engines have in common is allowed.",
)
def unknown_engine() -> bytes:
    return with_arguments("--temp\n0\n...\n", pin(), build())


@vector(
    "unknown-engine-other-option",
    rules="LF3330 LF6120 LF6127",
    layer="content",
    comment="The same, with an option that not all engines have.",
)
def unknown_engine_other_option() -> bytes:
    return with_arguments("--xtc-threshold\n0.5\n...\n", pin(), build())
