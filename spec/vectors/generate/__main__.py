"""``python -m spec.vectors.generate [--check] [--chapter NAME]``: write vectors and policies, or compare them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from spec.vectors.generate import ROOT, all_vectors, trust, will_run
from spec.vectors.generate.load import read_vector, vector_files


def main() -> int:
    """Write or compare; 1 if a file is missing, stale or different."""
    parser = argparse.ArgumentParser(prog="python -m spec.vectors.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    parser.add_argument("--chapter", default="", help="only this chapter")
    arguments = parser.parse_args()
    made = {vector.name: vector for vector in all_vectors(arguments.chapter)}
    wrong = []
    for path in vector_files(ROOT, arguments.chapter or "*"):
        if f"{path.parent.name}/{path.stem}" not in made:
            wrong.append(f"{path.name}: nothing makes it")
            if not arguments.check:
                path.unlink()
    for vector in made.values():
        path = ROOT / f"{vector.name}.vector"
        if arguments.check:
            if not path.exists() or read_vector(path) != vector:
                wrong.append(f"{vector.name}: missing or different")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(vector.encode())
    for folder, files in ((trust.FOLDER, trust.files()), (will_run.FOLDER, will_run.files())):
        wrong += _folder(folder, files, check=arguments.check)
    for line in wrong:
        print(line)
    print(f"{len(made)} vectors")
    return 1 if arguments.check and wrong else 0


def _folder(folder: str, made: Mapping[str, bytes], *, check: bool) -> list[str]:
    """Write or compare a folder of other files: the policies that vectors name, and the vectors that are JSON."""
    wrong = []
    for path in sorted((ROOT / folder).rglob("*")):
        name = path.relative_to(ROOT / folder).as_posix()
        if path.is_file() and name not in made:
            wrong.append(f"{folder}/{name}: nothing makes it")
            if not check:
                path.unlink()
    for name, data in made.items():
        path = ROOT / folder / name
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        elif not path.exists() or path.read_bytes() != data:
            wrong.append(f"{folder}/{name}: missing or different")
    return wrong


if __name__ == "__main__":
    raise SystemExit(main())
