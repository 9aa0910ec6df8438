"""Upstream's Metal backend, from declarations and stubs of ours: built, linked, compared with what Apple's tools made.

No macOS was at hand, so nothing is started. Two wheels stand in: one has Apple's own description of Metal in C++
(metal-cpp), the other a Metal backend that somebody built with Apple's SDK.
"""

from __future__ import annotations

import os
import re
import struct
import zipfile
from functools import cache
from pathlib import Path

import pytest

from llamafile_format.engines.cache import work_folder
from llamafile_format.engines.fetch import fetch
from llamafile_format.engines.pin import Flavour, Input
from llamafile_format.engines.toolchain import fill, toolchain_files, write_toolchain
from llamafile_format.engines.work import Workshop, environment, prepare, run
from llamafile_format.errors import SourceError
from tests.new_engine import RUNTIMES, pin_of

pytestmark = [pytest.mark.slow, pytest.mark.interop]

METAL = RUNTIMES / "llama.cpp" / "metal"
DESCRIPTION = Input(
    "mlx-metal",
    "mlx-metal",
    "0.32.4",
    "mlx_metal-0.32.4-py3-none-macosx_14_0_arm64.whl",
    "8019b2db622599267d66cc168b2f0dbf5af929790a6c3b3913e00eabc42a7947",
    44958619,
)
LINKED = Input(
    "pywhispercpp",
    "pywhispercpp",
    "1.5.1",
    "pywhispercpp-1.5.1-cp311-cp311-macosx_11_0_arm64.whl",
    "4a10b4f9c99123eb6515a98cc972f354d2455884af19856b82cd1c0d6ab2602f",
    4179002,
)
NEWER = {("Foundation", "_OBJC_CLASS_$_NSNumber"), ("Metal", "_OBJC_CLASS_$_MTLResidencySetDescriptor")}
"""Upstream began to use them after that wheel; node-llama-cpp 3.21.1 for macOS takes them from the same libraries."""
SYSTEM = "libSystem.B.dylib"


def _obtained(source: Input) -> zipfile.ZipFile:
    """The wheel; CI must have it, elsewhere a machine without an index skips."""
    try:
        return zipfile.ZipFile(fetch(source, work_folder("inputs"), lambda *_: None))
    except SourceError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{source.file} cannot be had here: {error} ({error.hint})")


# What Apple says


@cache
def _description() -> str:
    with _obtained(DESCRIPTION) as wheel:
        names = [name for name in wheel.namelist() if re.fullmatch(r"mlx/include/metal_cpp/Metal/\w+\.hpp", name)]
        return "\n".join(wheel.read(name).decode("utf-8") for name in names)


def _header(name: str) -> str:
    """One of our headers, without comments, each statement on a line."""
    text = (METAL / "include" / name / f"{name}.h").read_text(encoding="utf-8")
    text = re.sub(r"\s*//.*|\s*__attribute__\(\(.*?\)\)(?=;)|^#.*", "", text, flags=re.MULTILINE)
    return re.sub(r"(?<=[^;{}\n])\n +(?=\S)", " ", text)


def _their_type(ours: str) -> str:
    """A type of Objective-C as metal-cpp writes it."""
    ours = re.sub(r"<NSString \* *>|^const ", "", ours.strip()).replace(" ", "")
    known = {"BOOL": "bool", "NSUInteger": "NS::UInteger", "NSInteger": "NS::Integer", "id": "NS::Object*"}
    if ours in known:
        return known[ours]
    if "(^)" in ours:
        return "a block"
    ours = re.sub(r"^id<(\w+)>$", r"\1*", ours)
    return re.sub(r"^(NS|MTL)", r"\1::", ours)


def _in_their_words(theirs: str) -> str:
    """The type of a parameter, or of an answer, of metal-cpp without its name."""
    if "^" in theirs or "Handler" in theirs:
        return "a block"
    return re.sub(r"^const |\s+", "", theirs.strip())


Signature = tuple[str, tuple[str, ...]]


def _ours() -> dict[tuple[str, str], Signature]:
    """Of each class or protocol and selector in our header of Metal what it answers and takes."""
    found: dict[tuple[str, str], Signature] = {}
    for kind, body in re.findall(
        r"^@(?:protocol|interface) MTL(\w+) [:<].*?$\n(.*?)^@end", _header("Metal"), re.MULTILINE | re.DOTALL
    ):
        for answer, rest in re.findall(r"^[-+] \(((?:[^()]|\([^()]*\))+?)\)(\w.*);$", body, re.MULTILINE):
            taken = re.findall(r"(\w+:)\(((?:[^()]|\([^()]*\))+)\)\w+", rest)
            selector = "".join(part for part, _ in taken) or rest
            found[kind, selector] = (_their_type(answer), tuple(_their_type(each) for _, each in taken))
        for attributes, text in re.findall(r"^@property(?:\((.*?)\))? (.*);$", body, re.MULTILINE):
            of, _, name = text.replace("*", "* ").rpartition(" ")
            found[kind, name] = (_their_type(of), ())
            if "readonly" not in attributes:
                found[kind, f"set{name[0].upper()}{name[1:]}:"] = ("void", (_their_type(of),))
    return found


def _theirs() -> dict[tuple[str, str], Signature]:
    """The same of metal-cpp, from the bodies of its functions, each of which sends one selector."""
    text = _description()
    spelled = dict(re.findall(r'_MTL_PRIVATE_DEF_SEL\((\w+),\s*"([^"]+)"\)', text))
    spelled |= {name: name for name in re.findall(r"_MTL_PRIVATE_SEL\((\w+)\)", text) if name not in spelled}
    found: dict[tuple[str, str], Signature] = {}
    function = r"^_MTL_INLINE (\S+(?: \S+)*?) MTL::(\w+)::\w+\((.*)\)(?: const)?\n\{\n.*?_MTL_PRIVATE_SEL\((\w+)\)"
    for answer, kind, taken, name in re.findall(function, text, re.MULTILINE):
        depth = re.sub(r"\([^()]*\)|<[^<>]*>", lambda part: part[0].replace(",", ";"), taken)
        parts = [part.strip() for part in depth.split(",") if part.strip()]
        types = tuple(_in_their_words(re.sub(r"\w+$", "", part) if "^" not in part else part) for part in parts)
        found[kind, spelled[name]] = (_in_their_words(answer), types)
    return found


def test_values_are_those_that_apple_describes() -> None:
    theirs: dict[str, set[str]] = {}
    for name, value in re.findall(r"^ {4}(\w+) = ([^,]+),$", _description(), re.MULTILINE):
        theirs.setdefault(name, set()).add(value)
    ours = re.findall(r"\bMTL(\w+) = (\d+),", _header("Metal"))
    assert len(ours) >= 20

    def number(text: str) -> int:
        one, _, shift = text.partition(" << ")
        return int(one) << int(shift or 0)

    for name, value in ours:
        assert {number(each) for each in theirs[name]} == {int(value)}, name


def test_selectors_and_types_are_those_that_apple_describes() -> None:
    ours, theirs = _ours(), _theirs()
    assert len(ours) > 60
    differ = {key: (mine, theirs.get(key)) for key, mine in ours.items() if mine != theirs.get(key)}
    assert differ == {}


# What is built


@pytest.fixture(scope="module")
def upstream() -> tuple[dict[str, str], Workshop]:
    """Where the pin's inputs lie, and the workshop."""
    shop = Workshop(work_folder("build", "new-engine"), work_folder("inputs"))
    places, _ = prepare(pin_of(RUNTIMES), ["llama", "zig", "cmake", "ninja"], shop)
    return places, shop


@pytest.fixture(scope="module")
def program(upstream: tuple[dict[str, str], Workshop], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The program that lists devices, for Apple's processors, made by the pin's compiler."""
    (places, shop), pin, folder = upstream, pin_of(RUNTIMES), tmp_path_factory.mktemp("metal")
    target = next(each for each in pin.targets if each.name == "macos-aarch64")
    toolchain = folder / "toolchain"
    places = {**places, "toolchain": str(toolchain)}
    write_toolchain(toolchain, toolchain_files(pin, target, Flavour.NATIVE, places))
    cmake, ninja = (fill(pin.recipe.tools[name], places) for name in ("cmake", "ninja"))
    definitions = {
        "CMAKE_MAKE_PROGRAM": ninja,
        "CMAKE_TOOLCHAIN_FILE": str(toolchain / "toolchain.cmake"),
        "CMAKE_ASM_COMPILER": str(toolchain / "cc"),
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_C_FLAGS_RELEASE": "-O0 -DNDEBUG",
        "CMAKE_CXX_FLAGS_RELEASE": "-O0 -DNDEBUG",
        "CMAKE_DISABLE_FIND_PACKAGE_Git": "ON",
        "LFF_LLAMA_SOURCE": fill(pin.recipe.definitions["LFF_LLAMA_SOURCE"], places),
    }
    tree, seen, log = folder / "tree", environment(shop.folder), folder / "log.txt"
    words = [f"-D{name}={value}" for name, value in definitions.items()]
    run([cmake, "-G", "Ninja", "-S", str(METAL), "-B", str(tree), *words], seen, log)
    run([ninja, "-C", str(tree), "devices"], seen, log)
    assert "-Wobjc" not in log.read_text(encoding="utf-8")
    return (tree / "devices").read_bytes()


def _imports(image: bytes) -> dict[tuple[str, str], bool]:
    """What a thin 64-bit Mach-O takes from other libraries, by library and name; True where it may be missing."""
    count, at = struct.unpack_from("<I", image, 16)[0], 32
    libraries, table = [""], (0, 0, 0)
    for _ in range(count):
        kind, size = struct.unpack_from("<II", image, at)
        if kind in (0xC, 0x80000018, 0x8000001F):
            libraries.append(image[at + 24 : at + size].split(b"\0")[0].decode().rpartition("/")[2])
        elif kind == 2:
            table = struct.unpack_from("<III", image, at + 8)
        at += size
    found = {}
    for offset in range(table[0], table[0] + 16 * table[1], 16):
        start, kind, _, described = struct.unpack_from("<IBBH", image, offset)
        if kind & 0xE == 0 and kind & 1:
            name = image[table[2] + start : image.index(b"\0", table[2] + start)].decode()
            found[libraries[described >> 8], name] = bool(described & 0x40)
    return found


def test_the_program_takes_from_apples_libraries_what_others_programs_take(program: bytes) -> None:
    taken = {key: weak for key, weak in _imports(program).items() if key[0] != SYSTEM}
    with _obtained(LINKED) as wheel:
        genuine = _imports(wheel.read("libggml-metal.0.13.1.dylib"))
    assert ("Metal", "_MTLCreateSystemDefaultDevice") in genuine
    assert set(taken) - set(genuine) - {("libobjc.A.dylib", "___objc_personality_v0")} == NEWER
    assert [name for (_, name), weak in taken.items() if weak] == ["_OBJC_CLASS_$_MTLResidencySetDescriptor"]


def test_stubs_name_nothing_but_what_is_taken(program: bytes) -> None:
    stubs = sorted((METAL / "stubs").rglob("*.tbd"))
    texts = [path.read_text(encoding="utf-8") for path in stubs]
    assert {re.search(r"install-name: .*/(\S+)", text)[1] for text in texts} | {SYSTEM} == {  # type: ignore[index]
        library for library, _ in _imports(program)
    }
    listed = " ".join(text.partition("exports:")[2] for text in texts)
    symbols = set(re.findall(r"(?<=[\s-])_\w+", listed))
    classes = {f"_OBJC_CLASS_$_{name}" for name in re.findall(r"\b(?:NS|MTL)[A-Z]\w+", listed.replace("_MTL", ""))}
    taken = {name for library, name in _imports(program) if library != SYSTEM}
    assert symbols | classes == taken


def test_upstreams_kernels_are_inside_as_text(program: bytes, upstream: tuple[dict[str, str], Workshop]) -> None:
    """The system compiles them when the program starts; nothing beside the program is read."""
    source = Path(fill(pin_of(RUNTIMES).recipe.definitions["LFF_LLAMA_SOURCE"], upstream[0]))
    kernels = sorted((source / "ggml/src/ggml-metal/kernels").glob("*.metal"))
    assert len(kernels) > 30
    for kernel in kernels:
        names = re.findall(r"^kernel void (\w+)\(", kernel.read_text(encoding="utf-8"), re.MULTILINE)
        assert all(name.encode() in program for name in names), kernel.name


def test_nothing_is_declared_that_upstream_does_not_use(upstream: tuple[dict[str, str], Workshop]) -> None:
    source = Path(fill(pin_of(RUNTIMES).recipe.definitions["LFF_LLAMA_SOURCE"], upstream[0]))
    used = "\n".join(path.read_text(encoding="utf-8") for path in (source / "ggml/src/ggml-metal").glob("*.m"))
    implied = {"countByEnumeratingWithState", "objectAtIndexedSubscript", "objectForKeyedSubscript", "arrayWithObjects"}
    implied |= {"dictionaryWithObjects", "numberWithInt", "setObject"}  # what [], @[], @{} and @() stand for
    for name in ("Foundation", "Metal"):
        header = _header(name)
        first = set(re.findall(r"^[-+] \((?:[^()]|\([^()]*\))+?\)(\w+)", header, re.MULTILINE))
        properties = set(re.findall(r"^@property.*?(\w+);$", header, re.MULTILINE))
        assert len(first) > 10
        assert [word for word in sorted((first | properties) - implied) if not re.search(rf"\b{word}\b", used)] == []
