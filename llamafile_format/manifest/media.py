"""Roles and media types recognised from names (spec/1, 11.5). What contents tell is for the packer to ask first."""

from __future__ import annotations

_BY_SUFFIX = {
    ".gguf": "application/x-gguf",
    ".safetensors": "application/x-safetensors",
    ".onnx": "application/x-onnx",
    ".litertlm": "application/x-litertlm",
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".md": "text/markdown",
    ".txt": "text/plain",
    ".html": "text/html",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jinja": "text/x-jinja",
    ".zst": "application/zstd",
}
_LICENSE_STEMS = ("license", "licence", "copying", "notice", "unlicense")


def media_type(path: str, role: str) -> str:
    """The media type of a member, from its role and suffix; ``application/octet-stream`` where neither tells."""
    name = path.rpartition("/")[2].lower()
    if role in ("license", "arguments", "readme", "chunks"):
        return (
            "text/plain" if not name.endswith((".md", ".html", ".pdf")) else _BY_SUFFIX["." + name.rpartition(".")[2]]
        )
    suffix = "." + name.rpartition(".")[2] if "." in name[1:] else ""
    return _BY_SUFFIX.get(suffix, "application/octet-stream")


def role_of_name(path: str) -> str:
    """The role that a file's name suggests; ``asset`` where it suggests nothing."""
    name = path.rpartition("/")[2].lower()
    stem = name.split(".", 1)[0]
    if path == ".args":  # no runtime looks for it in a folder
        return "arguments"
    if stem.startswith(_LICENSE_STEMS):
        return "license"
    if name.endswith((".jinja", ".j2")):
        return "template"
    if name in ("model_card.md", "modelcard.md", "model-card.md", "card.md", "readme.md"):
        return "card"
    if name in ("llamafile.yaml", "llamafile.yml"):
        return "recipe"
    if name in ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "tokenizer_config.json"):
        return "tokenizer"
    if name.endswith((".md", ".txt", ".pdf", ".html", ".rst")):
        return "document"
    return "asset"


def legacy_role(path: str) -> str:
    """The role of a member of a legacy llamafile, from its name alone."""
    return "weights" if path.lower().endswith(".gguf") else role_of_name(path)
