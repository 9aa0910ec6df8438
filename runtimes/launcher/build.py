"""Build the programs of a launcher version again and compare them with the recorded digests.

    python runtimes/launcher/build.py 1            # into a temporary folder; 0 if every digest is reached
    python runtimes/launcher/build.py 1 --out DIR  # and keep them there

Needs PyYAML and the ``ziglang`` package of the version that ``launcher.yaml`` names, both in this Python.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent


def build(recipe: dict[str, Any], folder: Path, out: Path, cache: Path) -> list[str]:
    """Run the recipe of ``folder`` into ``out``; one line for each program that did not come out as recorded.

    ``cache`` is where the compiler keeps the libraries that it makes.
    """
    wrong = []
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(cache), "ZIG_LOCAL_CACHE_DIR": str(cache)}
    for program in recipe["programs"]:
        for command in program["commands"]:
            words = [word.replace("OUT/", f"{out}/") for word in command.split()]
            subprocess.run(
                [sys.executable, "-m", "ziglang", *words], cwd=folder / "source", env=environment, check=True
            )
        data = (out / program["file"]).read_bytes()
        found = hashlib.sha256(data).hexdigest()
        print(f"{found}  {program['file']}  {len(data)} bytes")
        if found != program["sha256"] or len(data) != program["size"]:
            wrong.append(f"{program['file']} should be {program['size']} bytes, sha256 {program['sha256']}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", help="version of the launcher, such as 1")
    parser.add_argument("--out", type=Path, help="folder to keep the programs in")
    parser.add_argument("--cache", type=Path, help="folder where the compiler keeps the libraries that it makes")
    arguments = parser.parse_args()
    folder = HERE / arguments.version
    recipe = yaml.safe_load((folder / "launcher.yaml").read_text("utf-8"))
    wanted = recipe["toolchain"]
    try:
        found = version(wanted["package"])
    except PackageNotFoundError:
        found = "none"
    if found != wanted["version"]:
        print(f"needs {wanted['package']}=={wanted['version']}, found {found}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as temporary:
        out = (arguments.out or Path(temporary)).resolve()
        out.mkdir(parents=True, exist_ok=True)
        wrong = build(recipe, folder, out, (arguments.cache or out / "cache").resolve())
    for line in wrong:
        print(f"different: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
