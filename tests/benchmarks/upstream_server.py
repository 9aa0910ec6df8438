"""Upstream's own ``llama-server``, from the sources and tools that our pin names, for this machine's processor.

    python -m tests.benchmarks.upstream_server --work DIR [--from VAULT] -o llama-server

It is a rival of ``bench_runtime`` and ``bench_rivals``: the same source, compiler and C library as our runtime,
upstream's own build files, kernels and optimisation, every instruction that this processor has, and no container;
without OpenMP, which this compiler lacks. A server that another compiler made can be named to both just as well.
Minutes the first time; needs the inputs of ``llamafile-format runtimes build`` from a package index or a vault.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

from llamafile_format.engines import store
from llamafile_format.engines.build import build
from llamafile_format.engines.pin import Flavour, Pin
from llamafile_format.engines.work import Workshop

TARGET = "linux-x86_64"
OFF = (
    "BUILD_SHARED_LIBS GGML_NATIVE GGML_OPENMP GGML_CCACHE LLAMA_BUILD_UI LLAMA_USE_PREBUILT_UI"
    " LLAMA_OPENSSL LLAMA_BUILD_TESTS LLAMA_BUILD_EXAMPLES LLAMA_BUILD_APP MTMD_VIDEO"
)


def upstream(pin: Pin) -> Pin:
    """``pin`` with upstream's project in the place of ours."""
    definitions = {"CMAKE_BUILD_TYPE": "Release", "CMAKE_DISABLE_FIND_PACKAGE_Git": "ON"}
    definitions |= dict.fromkeys(OFF.split(), "OFF") | {"LLAMA_BUILD_SERVER": "ON", "LLAMA_BUILD_NUMBER": "1"}
    recipe = replace(
        pin.recipe,
        project=pin.recipe.definitions["LFF_LLAMA_SOURCE"],
        goal="llama-server",
        definitions=definitions,
        flags=(*pin.recipe.flags, "-mcpu=native"),
    )
    targets = tuple(replace(target, result="bin/llama-server") for target in pin.targets if target.name == TARGET)
    return replace(pin, recipe=recipe, targets=targets)


def main() -> None:
    """Build it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="a folder of its own; builds go on where they stopped")
    parser.add_argument("--from", dest="vault", type=Path, help="the inputs, as `runtimes vault` collects them")
    parser.add_argument("-o", dest="out", type=Path, default=Path("llama-server"))
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    shop = Workshop(work, work / "inputs", options.vault)
    built = build(upstream(store.find_pin("llama.cpp")), TARGET, Flavour.NATIVE, shop)
    shutil.copy2(built.path, options.out)
    print(f"{options.out}: {built.size:,} bytes, sha256 {built.sha256}")


if __name__ == "__main__":
    main()
