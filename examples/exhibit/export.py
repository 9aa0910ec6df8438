"""Write the trained exhibit as GGUF: full, half and eight-bit weights.

    python examples/exhibit/export.py --checkpoint exhibit.pt --out examples/exhibit

The files hold everything llama.cpp needs and nothing that changes from run to
run: no dates, no paths, no random ids.  One checkpoint gives the same bytes
every time.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import torch

from model import Llama, Shape
from tokenizer import BOS, EOS, UNK, Tokenizer

NAME = "Exhibit"
DESCRIPTION = "A very small language model that writes labels for the objects of an imaginary museum."
FORMATS = {
    "f32": (gguf.LlamaFileType.ALL_F32, gguf.GGMLQuantizationType.F32),
    "f16": (gguf.LlamaFileType.MOSTLY_F16, gguf.GGMLQuantizationType.F16),
    "q8_0": (gguf.LlamaFileType.MOSTLY_Q8_0, gguf.GGMLQuantizationType.Q8_0),
}

# A user's message opens a document with a visitor's request, and a finished label
# ends it, as in training.  llama.cpp knows not to add a second <s> at the start.
CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}
{{- bos_token + 'Visitor: ' + message['content'] | trim + '\\n' -}}
{%- elif message['role'] == 'assistant' -%}
{{- 'Label: ' + message['content'] | trim + eos_token -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- 'Label:' -}}
{%- endif -%}"""


@dataclass(frozen=True)
class Checkpoint:
    """A trained model with the vocabulary it was trained on."""

    model: Llama
    tokenizer: Tokenizer


def load(path: Path) -> Checkpoint:
    """Read what train.py saved."""
    saved = torch.load(path, weights_only=True)
    model = Llama(Shape(**saved["shape"]))
    model.load_state_dict(saved["weights"])
    return Checkpoint(model.eval(), Tokenizer(saved["pieces"]))


def describe(writer: gguf.GGUFWriter, shape: Shape, parameters: int, file_type: gguf.LlamaFileType) -> None:
    """What the model is, and the sizes by which llama.cpp builds it."""
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(NAME)
    writer.add_author("llamafile-format")
    writer.add_description(DESCRIPTION)
    writer.add_license("cc0-1.0")
    writer.add_languages(["en"])
    writer.add_tags(["text-generation", "museum", "example"])
    writer.add_size_label(f"{parameters / 1000:.0f}K")
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(shape.vocab)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.norm_eps)


def spell(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    """The vocabulary, and how a conversation is laid out."""
    texts, scores, kinds = zip(*tokenizer.table(), strict=True)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(texts)
    writer.add_token_scores(scores)
    writer.add_token_types([int(kind) for kind in kinds])
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_unk_token_id(UNK)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(True)
    writer.add_chat_template(CHAT_TEMPLATE)


def write(checkpoint: Checkpoint, path: Path, file_type: gguf.LlamaFileType, kind: gguf.GGMLQuantizationType) -> None:
    """Write one file.  Matrices take the given type; the few norm scales stay full."""
    weights = {name: weight.detach().numpy() for name, weight in checkpoint.model.named_parameters()}
    writer = gguf.GGUFWriter(path, "llama")
    describe(writer, checkpoint.model.shape, sum(weight.size for weight in weights.values()), file_type)
    spell(writer, checkpoint.tokenizer)
    for name, weight in weights.items():
        stored = kind if weight.ndim == 2 else gguf.GGMLQuantizationType.F32
        data = gguf.quants.quantize(np.ascontiguousarray(weight), stored)
        writer.add_tensor(name, data, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def export(checkpoint: Path, out: Path) -> list[Path]:
    """Write exhibit-f32.gguf, exhibit-f16.gguf and exhibit-q8_0.gguf into a folder."""
    loaded = load(checkpoint)
    paths = []
    for name, (file_type, kind) in FORMATS.items():
        path = out / f"exhibit-{name}.gguf"
        write(loaded, path, file_type, kind)
        paths.append(path)
    return paths


def main() -> None:
    """Export a checkpoint made earlier."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    for path in export(arguments.checkpoint, arguments.out):
        print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
