"""The main job, end to end, on the exhibit: ``make demo`` runs this. Every step is a command that a user types.

    python examples/demo.py [FOLDER]

Packs a small language model and what runs it into one file, looks at it, verifies it, damages a copy and sees the
damage located, takes the runtime out and puts another prefix in front, takes the model out and compares digests. It
protects the file, destroys 3 MB of a copy, and repairs it. Then it makes a key, signs the packed file, verifies who
signed, and shows how openssl does the same. A page out of a file runs the model in a browser, if Chromium is there.
Last, the file is started. Leaves everything in FOLDER (default: demo/).
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import page_in_browser

EXHIBIT = Path(__file__).resolve().parent / "exhibit"
PROMPT = "Visitor: Tell me about the clock.\nLabel:"


def run(*arguments: str, expect: int = 0) -> None:
    """Show and run ``llamafile-format`` with ``arguments``; stop the demo if it does not exit as expected."""
    print(f"\n$ llamafile-format {shlex.join(arguments)}", flush=True)
    result = subprocess.run([sys.executable, "-m", "llamafile_format", *arguments], check=False)
    if result.returncode != expect:
        sys.exit(f"demo: expected exit code {expect}, got {result.returncode}")


def say(text: str) -> None:
    """A line for the reader between two commands."""
    print(f"\n# {text}", flush=True)


def sha256(path: Path) -> str:
    """SHA-256 of a file that fits memory, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def damage(path: Path, copy: Path) -> int:
    """Copy ``path`` to ``copy`` with one bit flipped in the middle of the file; the offset of the byte."""
    shutil.copyfile(path, copy)
    at = path.stat().st_size // 2
    with copy.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))
    return at


def destroy(path: Path, size: int) -> int:
    """Zero ``size`` bytes of ``path`` from a quarter of it on, as a disk would; where they begin."""
    at = path.stat().st_size // 4 // 4096 * 4096
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes(size))
    return at


def keep(packed: str) -> None:
    """Protect the file, destroy 3 MB of a copy, and have it back."""
    run("protect", packed)
    copy = "exhibit-rotten.llamafile"
    shutil.copyfile(packed, copy)
    at = destroy(Path(copy), 3_000_000)
    say(f"A copy rots: 3 MB are gone, from byte {at} on. Any program for PAR2 repairs it now, and so does ours.")
    run("repair", copy, "--par2", f"{packed}.par2", "-o", "exhibit-whole.llamafile")
    print(f"{sha256(Path(packed))}  {packed}")
    print(f"{sha256(Path('exhibit-whole.llamafile'))}  exhibit-whole.llamafile")
    if sha256(Path(packed)) != sha256(Path("exhibit-whole.llamafile")):
        sys.exit("demo: the copy is not what the file was")


def sign(packed: str) -> None:
    """Vouch for the file, see who does, and how to see it without this software."""
    say("Vouch for every byte of it. No weights are read, and nothing moves.")
    run("keygen", "--no-passphrase", "-o", "museum.key")
    run("sign", packed, "--key", "museum.key")
    say("Who vouches for it? Whom to trust is for you to say: name a key.")
    run("verify", packed, "--key", "museum.key.pub", "--level", "exhaustive")
    say("In thirty years, with nothing but openssl? The file says how, and so does this, with its own digests.")
    print(f"\n$ llamafile-format explain {packed} | sed -n '/^6/,/^7/{{/^7/!p;}}'", flush=True)
    command = [sys.executable, "-m", "llamafile_format", "explain", packed]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    first, last = (next(i for i, line in enumerate(shown) if line.startswith(f"{number}. ")) for number in (6, 7))
    print("\n".join(shown[first:last]).rstrip())


def visit() -> None:
    """A page out of a file runs its model, in a browser, from a file and without a network."""
    say("For a visitor who has only a browser: a page, and a build that browsers run, travel along.")
    packed, page = "exhibit-page.llamafile", "out/llamafile-viewer.html"
    recipe, runtime = os.path.relpath(EXHIBIT / "llamafile.yaml"), "llama.cpp:wasm32-wasi"
    run("pack", "--recipe", recipe, "--runtime", runtime, "--flavour", "reference", "--viewer", "-o", packed)
    run("extract", packed, "llamafile-viewer.html", "-C", "out")
    if not page_in_browser.here():
        print(f"\nThere is no Chromium here that can be driven. Open {page} in a browser, and choose {packed}.")
        return
    text = "Visitor: a brass astrolabe\nLabel:"
    say("In headless Chromium: open the page, choose the file, ask.")
    print(f"\n$ python examples/page_in_browser.py {page} {packed} {shlex.quote(text)} page.png", flush=True)
    print(page_in_browser.ask(Path(page), Path(packed), text, Path("page.png")))


def main() -> None:
    """Run the demo."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    for old in (*Path().glob("exhibit*.llamafile*"), *Path().glob("museum.key*")):
        old.unlink()
    shutil.rmtree("out", ignore_errors=True)
    packed, again = "exhibit.llamafile", "exhibit-with-cover.llamafile"

    say("Pack a model, its card and its licence, and what runs it, into one file.")
    run("pack", "--recipe", os.path.relpath(EXHIBIT / "llamafile.yaml"), "-o", packed)
    say("Look at it, without running a byte of it.")
    run("inspect", packed)
    say("Is it intact, and what it claims to be?")
    run("verify", "--level", "exhaustive", packed)
    at = damage(Path(packed), Path("exhibit-damaged.llamafile"))
    say(f"One bit of a copy flips, in byte {at}. Where is the damage?")
    run("verify", "exhibit-damaged.llamafile", expect=1)
    say("Take the runtime out, and put another prefix in front. The weights stay what they are, digest and all.")
    run("repack", packed, "--prefix", os.path.relpath(EXHIBIT / "cover.sh"), "--runtime", "none", "-o", again)
    run("diff", packed, again, expect=1)
    run("verify", again)
    say("The file explains itself to somebody who has none of our software.")
    print(f"\n$ sh ./{again} | head -8", flush=True)
    shown = subprocess.run(["sh", f"./{again}"], check=True, capture_output=True, text=True).stdout
    print("\n".join(shown.splitlines()[:8]))
    say("Take the model out again: the same bytes that went in.")
    run("extract", again, "exhibit-f16.gguf", "-C", "out")
    before, after = sha256(EXHIBIT / "exhibit-f16.gguf"), sha256(Path("out/exhibit-f16.gguf"))
    print(f"{before}  examples/exhibit/exhibit-f16.gguf")
    if before != after:
        sys.exit("demo: the model changed on its way")
    say("Keep it for decades: recovery data beside it, for 5 % of its size.")
    keep(packed)
    sign(packed)
    visit()
    say("A record for the catalogue, to look at in a browser.")
    run("inspect", again, "--html", "exhibit.html", "--force")
    say("Run it: nothing is installed, nothing is copied but the program, into a private cache.")
    command = [f"./{packed}", "-p", PROMPT, "-n", "48"]
    print(f"\n$ {shlex.join(command)}", flush=True)
    environment = {**os.environ, "LFF_CACHE": str(Path("cache").resolve())}
    ran = subprocess.run(["sh", *command], check=False, capture_output=True, text=True, env=environment)
    if ran.returncode != 0:
        sys.exit(f"demo: the packed file did not run: {ran.stderr}")
    print(ran.stdout.rstrip("\n"))
    shutil.rmtree("cache")
    print(f"\nDone. Look at {folder}/exhibit.html, and chat with the model:\n\n    sh {folder}/{packed}")


if __name__ == "__main__":
    main()
