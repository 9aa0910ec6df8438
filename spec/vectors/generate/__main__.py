"""``python -m spec.vectors.generate [--check] [--chapter NAME]``: write vectors and policies, or compare them."""

from __future__ import annotations

import argparse

from spec.vectors.generate import ROOT, all_vectors
from spec.vectors.generate.load import read_vector, vector_files
from spec.vectors.generate.trust import FOLDER, files


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
    wrong += _trust(check=arguments.check)
    for line in wrong:
        print(line)
    print(f"{len(made)} vectors")
    return 1 if arguments.check and wrong else 0


def _trust(*, check: bool) -> list[str]:
    """Write or compare the policies that vectors name, and what these name."""
    made, wrong = files(), []
    for path in sorted((ROOT / FOLDER).rglob("*")):
        name = path.relative_to(ROOT / FOLDER).as_posix()
        if path.is_file() and name not in made:
            wrong.append(f"{FOLDER}/{name}: nothing makes it")
            if not check:
                path.unlink()
    for name, data in made.items():
        path = ROOT / FOLDER / name
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        elif not path.exists() or path.read_bytes() != data:
            wrong.append(f"{FOLDER}/{name}: missing or different")
    return wrong


if __name__ == "__main__":
    raise SystemExit(main())
