"""Make a projector that lets the exhibit see, a little: red is a kettle, green a lantern, blue a compass.

    python examples/vision/make_vision_model.py --out projector.gguf
    llamafile-format pack examples/exhibit/exhibit-f16.gguf projector.gguf -o seeing.llamafile

A projector turns a picture into rows that a language model reads as if they were words. This one is not trained but
written down. It cuts the picture into 2 x 2 patches and takes the mean colour of each. For every colour and patch one
neuron of its middle layer fires when the patch has that colour; its output is the exhibit's own embedding of one piece
of the colour's word. Four red patches are thus, to the exhibit, the four pieces of "kettle", and it labels a kettle.

The file holds nothing that changes from run to run: the same exhibit gives the same bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

EXHIBIT = Path(__file__).resolve().parents[1] / "exhibit" / "exhibit-f16.gguf"

# What each colour looks like to the exhibit: a word of its museum in four pieces of its vocabulary, one a patch.
WORDS = {
    "red": ("▁ke", "t", "t", "le"),
    "green": ("▁l", "an", "ter", "n"),
    "blue": ("▁co", "m", "p", "ass"),
}
SIDE = 2  # patches along each side of the picture
PATCH = 14  # pixels along each side of a patch
PATCHES = SIDE * SIDE
WIDTH = 8  # of a patch's row: its red, green and blue, where it stands (one of four), and one spare
SPARE = 2 * WIDTH  # width of the layers between, which add nothing
SHARPNESS = 20.0  # by which a neuron's input is multiplied: a firing neuron gives SHARPNESS / 2, the others nothing

Matrix = NDArray[np.float32]


def embeddings(path: Path) -> dict[str, Matrix]:
    """The exhibit's vocabulary: each piece and the row by which the model knows it."""
    model = gguf.GGUFReader(path)
    pieces = model.fields["tokenizer.ggml.tokens"].contents()
    table = next(tensor for tensor in model.tensors if tensor.name == "token_embd.weight")
    rows = table.data.astype(np.float32)
    return {str(piece): rows[index] for index, piece in enumerate(pieces)}


def eye() -> dict[str, Matrix]:
    """Patches to rows: the mean of each colour, and a one at the place of the patch."""
    means = np.zeros((WIDTH, 3, PATCH, PATCH), np.float32)
    for colour in range(3):
        means[colour, colour] = 1 / PATCH**2
    places = np.zeros((PATCHES, WIDTH), np.float32)
    for place in range(PATCHES):
        places[place, 3 + place] = 1
    return {"v.patch_embd.weight": means, "v.position_embd.weight": places}


def idle_layer() -> dict[str, Matrix]:
    """One layer of attention whose output is nothing, so that each row stays what it is: the format wants a layer."""
    square, one = np.zeros((WIDTH, WIDTH), np.float32), np.ones(WIDTH, np.float32)
    return {
        "v.blk.0.ln1.weight": one,
        "v.blk.0.ln1.bias": 0 * one,
        **{f"v.blk.0.attn_{part}.weight": square for part in ("q", "k", "v", "out")},
        "v.blk.0.ln2.weight": one,
        "v.blk.0.ln2.bias": 0 * one,
        "v.blk.0.ffn_up.weight": np.zeros((SPARE, WIDTH), np.float32),
        "v.blk.0.ffn_up.bias": np.zeros(SPARE, np.float32),
        "v.blk.0.ffn_down.weight": np.zeros((WIDTH, SPARE), np.float32),
        "v.blk.0.ffn_down.bias": 0 * one,
    }


def words(vocabulary: dict[str, Matrix]) -> dict[str, Matrix]:
    """Rows to words. A neuron for each colour and place: it fires above "this colour alone, and here" less a half."""
    neurons = len(WORDS) * PATCHES
    look = np.zeros((neurons, WIDTH), np.float32)
    say = np.zeros((len(vocabulary["n"]), neurons), np.float32)
    for colour, pieces in enumerate(WORDS.values()):
        for place, piece in enumerate(pieces):
            neuron = colour * PATCHES + place
            look[neuron, :3] = -SHARPNESS
            look[neuron, colour] = look[neuron, 3 + place] = SHARPNESS
            say[:, neuron] = vocabulary[piece] / (SHARPNESS / 2)
    return {
        "mm.0.weight": look,
        "mm.0.bias": np.full(neurons, -1.5 * SHARPNESS, np.float32),
        "mm.2.weight": say,
        "mm.2.bias": np.zeros(len(say), np.float32),
    }


def write(path: Path, exhibit: Path = EXHIBIT) -> None:
    """Write the projector for a build of the exhibit."""
    vocabulary = embeddings(exhibit)
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type(gguf.GGUFType.MMPROJ)
    writer.add_name("Exhibit's eye")
    writer.add_description("Red is a kettle, green a lantern, blue a compass.")
    writer.add_license("cc0-1.0")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type("mlp")
    writer.add_vision_image_size(SIDE * PATCH)
    writer.add_vision_patch_size(PATCH)
    writer.add_vision_embedding_length(WIDTH)
    writer.add_vision_feed_forward_length(SPARE)
    writer.add_vision_projection_dim(len(vocabulary["n"]))
    writer.add_vision_block_count(1)
    writer.add_vision_head_count(1)
    writer.add_vision_attention_layernorm_eps(1e-5)
    writer.add_vision_image_mean([0.0, 0.0, 0.0])
    writer.add_vision_image_std([1.0, 1.0, 1.0])
    for name, data in (eye() | idle_layer() | words(vocabulary)).items():
        writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    """Write projector.gguf, or what --out names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("projector.gguf"))
    arguments = parser.parse_args()
    write(arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
