"""Arguments by allow-list (spec/1, 3.10): the table and the pinned build; what writers and starters refuse."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.checks.arguments import judge_arguments
from llamafile_format.checks.grammars import check_grammar
from llamafile_format.checks.schemas import check_object, check_schema
from llamafile_format.container import Container
from llamafile_format.engines.host import host_target
from llamafile_format.engines.pin import Flavour
from llamafile_format.engines.store import find_pin, pins, unpacked
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.packing import drop_options
from llamafile_format.prefix.argument_tables import ANY, choose_table
from llamafile_format.prefix.arguments import Dialect, parse
from llamafile_format.running.accepted_arguments import refuse_unaccepted
from llamafile_format.source import BytesSource
from llamafile_format.specdata import spec_yaml
from tests.conftest import CliRunner
from tests.repack_samples import engine, gguf, legacy, write

NATIVE = Dialect.NATIVE
PIN = ("llama.cpp", "0.3.36")
HERE = ("llama.cpp", "0.3.36+2")  # the pin whose builds can be asked
_HEAD = re.compile(r"(?P<names>-{1,2}[A-Za-z][\w.-]*(?:, +-{1,2}[A-Za-z][\w.-]*)*)(?P<rest>.*)")
_NAME = re.compile(r"(?<![\w-])-{1,2}[A-Za-z][\w-]*")


def objected(text: str, dialect: Dialect = NATIVE, members: dict[str, str] | None = None) -> list[tuple[str, str]]:
    """(sort, option as written) of every objection to arguments."""
    judged = judge_arguments(parse(text.encode(), dialect), members or {"m.gguf": "weights"}, [PIN])
    return [(each.sort.value, each.option.written) for each in judged.objections]


# The table and the program


@pytest.fixture(scope="module")
def program() -> Path:
    if host_target() != "linux-x86_64":
        pytest.skip("the program is run, and it is for linux-x86_64")
    pin = find_pin("@".join(HERE))
    build = pin.build("linux-x86_64", Flavour.NATIVE)
    assert build is not None
    return unpacked(pin, build)


def printed(program: Path, option: str) -> str:
    return subprocess.run([program, option], capture_output=True, text=True, check=True, timeout=60).stdout


def test_every_option_of_the_server_is_allowed_or_refused(program: Path) -> None:
    """All spellings of one option stand in one row, with as many values as the program says."""
    table = choose_table(NATIVE, [HERE]).table
    heads = [match for line in printed(program, "--server-help").splitlines() if (match := _HEAD.match(line))]
    assert len(heads) > 250
    spelt: set[str] = set()
    for head in heads:
        names = re.split(r", +", head["names"])
        spelt |= set(names)
        assert all(name in table.by_name for name in names), f"the table lacks {names}"
        rows = {table.by_name[name].name for name in names if name not in ("--slots", "--no-slots")}
        assert len(rows) <= 1, f"{names} are one option"
        hint = head["rest"][:1] == " " and head["rest"][1:2].strip() != ""  # help text is set off by more blanks
        wide = len(head["names"]) + len(head["rest"]) - len(head["rest"].lstrip()) == 40
        if hint and not wide:
            assert table.by_name[names[0]].values >= 1, f"{names} has a value"
    unheard = {name for row in table.rows for name in row.names} - spelt
    ours = {"--server", "--complete", "--trace", "--inspect", "--chat", "--no-browser", "--server-help"}
    ours |= {"-p", "--prompt", "-f", "--file", "--request-timeout", "--allow-host", "-sys", "--system-prompt"}
    assert unheard == ours, "the table has what the program does not know"


def test_every_option_of_our_own_is_allowed_or_refused(program: Path) -> None:
    table = choose_table(NATIVE, [HERE]).table
    named = set(_NAME.findall(printed(program, "--help")))
    assert {"--complete", "--server-help", "-m", "--seed"} <= named
    unlisted = {"--what-will-run", "--no-lora", "--no-sandbox"}
    assert named - table.by_name.keys() == unlisted
    for option in unlisted:  # what no table lists is refused
        judged = judge_arguments(parse(f"{option}\n...\n".encode(), NATIVE), {"m.gguf": "weights"}, [HERE])
        assert [each.option.written for each in judged.objections] == [option]


def test_every_pin_has_a_table() -> None:
    """Or none, and then no more than an engine that nobody knows: what every table allows."""
    rows = [tuple(map(str, row)) for row in spec_yaml("registry/arguments.yaml")["tables"]]
    unknown = choose_table(Dialect.NATIVE, [("another", "1")]).table
    for pin in pins():
        named = any(row[:3] == ("native", pin.name, pin.version) for row in rows)
        assert named == pin.reads_gguf, pin.key
        assert named or choose_table(Dialect.NATIVE, [(pin.name, pin.version)]).table == unknown
    assert {row[0] for row in rows} == {dialect.value for dialect in Dialect}
    assert all(row[1] == ANY for row in rows if row[0] != "native")


def test_tables_say_what_they_mean() -> None:
    value = spec_yaml("registry/arguments.yaml")
    reasons = {name for name, _ in value["reasons"]}
    allowed = {"flag", "integer", "real", "word", "words", "letters", "text", "bias", "object", "member", "members"}
    allowed |= {"scaled", "template", "grammar", "schema", "template-file", "grammar-file", "schema-file"}
    for *_, name in value["tables"]:
        seen: set[str] = set()
        for names, values, verdict, kind, low, high in [row for part in name.split() for row in value[part]]:
            assert verdict in ("allowed", "refused")
            assert kind in (allowed if verdict == "allowed" else reasons)
            assert (values == 0) == (kind == "flag") or verdict == "refused"
            assert kind not in ("integer", "real") or float(low) < float(high)
            assert seen.isdisjoint(names.split()), names
            seen |= set(names.split())


def test_what_the_issue_of_trust_names_is_refused() -> None:
    """Everything that once started without a word."""
    for text in (
        *(
            "--log-file x",
            "--log_file x",
            "--ui_mcp_proxy",
            "--model_url http://x",
            "--hf_repo a/b",
            "--cors-origins *",
        ),
        *("--mcp-servers-json {}", "--agent", "-ag", "--log-prompts-dir x", "--host 127.0.0.1", "--rpc x:1"),
        *("--api-key-file x", "--slot_save_path /", "--path /", "--fim-qwen-1.5b-default", "--media_path /", "--props"),
        *(
            "--ui-config {}",
            "-lcd x",
            "--override-kv a=int:1",
            "-f x",
            "--spec-default",
            "--models-dir /",
            "--tools all",
        ),
    ):
        assert [sort for sort, _ in objected(text)] == ["refused"], text
    assert [sort for sort, _ in objected("--chat-template-file /etc/passwd")] == ["file"]
    assert [sort for sort, _ in objected("--lora /etc/passwd")] == ["file"]
    assert [sort for sort, _ in objected("--path=/")] == ["refused"]


@pytest.mark.parametrize(
    "text",
    [
        "-m /zip/m.gguf --temp 0 --top_k 40 -c 4096 -np 2 --pooling mean --embeddings",
        "--seed -1 -l 15043+1.5 --samplers top_k;top_p;temperature --sampler-seq kpt",
        "--chat-template-kwargs '{\"enable_thinking\": false}' --reasoning-budget 0 --no-slots",
        "-r 'User:' --grammar 'root ::= \"yes\" | \"no\"'",
    ],
)
def test_what_a_model_needs_is_allowed(text: str) -> None:
    assert objected(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "--temp -0x1",
        "--temp 1e1",
        "--temp ''",
        "--temp +1",
        "--temp inf",
        "--top-k 1.0",
        "--samplers top_k;top_k_",
        "--sampler-seq kk",
        "-l 1+1001",
        "-l 1+1+1",
        "-r ''",
        '-r "a\\x1b[2J"',
        "-c 00000000000000000000001",
        "--pooling mean,cls",
        "--temp",
    ],
)
def test_what_no_value_may_be(text: str) -> None:
    assert [sort for sort, _ in objected(text)] == ["value"]


def test_one_reader_cannot_see_what_another_does_not() -> None:
    """Our own runtime looks for its words anywhere: none of them can be a value of another option."""
    for word in ("--server", "--no-browser", "-m", "--model=/x", "-p", "--trace", "--complete", "--cors-origins"):
        assert [sort for sort, _ in objected(f"-r {word} --seed 1")] == ["value"]


def test_lists_of_files_are_taken_apart_as_the_engine_does() -> None:
    members = {"a.gguf": "adapter", "b.gguf": "adapter", 'q"x.gguf': "adapter", "s:1.gguf": "adapter"}
    for text in ("--lora /zip/a.gguf,/zip/b.gguf", "--lora-scaled /zip/a.gguf:0.5,/zip/b.gguf:-1"):
        assert objected(text, members=members) == []
    for text in (
        "--lora /zip/a.gguf,",
        "--lora '/zip/q\"x.gguf'",
        "--lora-scaled /zip/a.gguf",
        "--lora-scaled /zip/s:1.gguf:1",
        "--lora-scaled /zip/a.gguf:nan",
        "--lora /zip/./a.gguf",
        "--lora zip/a.gguf",
    ):
        assert [sort for sort, _ in objected(text, members=members)] == ["file"], text


def test_several_engines_and_unknown_ones() -> None:
    common = choose_table(NATIVE, [PIN, ("other", "1")])
    assert common.unknown == ("other@1",)
    assert common.table.find("--temp") is not None
    assert common.table.find("--xtc-threshold") is None
    assert choose_table(NATIVE).unknown == ()


# Writers


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write(tmp_path / "m.gguf", gguf("m"))
    return tmp_path / "m.gguf"


def test_pack_tells_a_typo(model: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"--tmep is no option .*did you mean --temp\?") as caught:
        lf.pack([model], tmp_path / "a", runtime="none", args="--tmep 0 ...")
    assert caught.value.clause == "LF6120"
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("args", ["--log_file ../x ...", "–temp 0 ...", "--temp=0 ...", "-m /srv/m.gguf ...", "-c 1e9"])
def test_pack_refuses_what_verify_refuses(model: Path, tmp_path: Path, args: str) -> None:
    with pytest.raises(FormatError, match="the arguments cannot be written"):
        lf.pack([model], tmp_path / "a", runtime="none", args=args)
    with pytest.raises(FormatError, match="the arguments cannot be written"):
        lf.pack([model], tmp_path / "a", runtime="none", include=[lf.Include(write_args(tmp_path, args), ".args")])


def write_args(folder: Path, text: str) -> Path:
    (folder / "args").write_text(text, encoding="utf-8")
    return folder / "args"


def test_pack_refuses_in_front_of_a_classic_engine_too(model: Path, tmp_path: Path) -> None:
    write(tmp_path / "old", engine("old", 70_000, version="0.9.3"))
    lf.pack([model], tmp_path / "a", prefix=tmp_path / "old", args="-m m.gguf --temp 0 ...")
    with pytest.raises(FormatError, match="the arguments cannot be written"):
        lf.pack([model], tmp_path / "b", prefix=tmp_path / "old", args="-m m.gguf -ngl 999 ...")


def test_what_an_old_file_carries_stays_until_it_gets_our_engine(tmp_path: Path, run_cli: CliRunner) -> None:
    arguments = b"-m\nm.gguf\n--host\n0.0.0.0\n-ngl\n999\n--temp\n0\n...\n"
    old = write(
        tmp_path / "old", legacy(engine("old", 70_000, version="0.9.3"), [("m.gguf", gguf("m")), (".args", arguments)])
    )
    assert run_cli("repack", old, "-o", tmp_path / "kept").returncode == 0
    assert lf.verify(tmp_path / "kept").verdicts[lf.Layer.VALID].value == "yes"
    refused = run_cli("repack", old, "--prefix", "none", "-o", tmp_path / "new")
    assert refused.returncode == 1
    assert "--drop-args NAME" in refused.stderr
    dropped = run_cli(
        "repack", old, "--prefix", "none", "--drop-args", "--host", "--drop-args", "-ngl", "-o", tmp_path / "new"
    )
    assert dropped.returncode == 0, dropped.stderr
    with lf.open(tmp_path / "new") as container:
        assert container.read(".args") == b"-m\n/zip/m.gguf\n--temp\n0\n...\n"
    assert lf.verify(tmp_path / "new").verdicts[lf.Layer.VALID].value == "yes"


def test_dropping_keeps_the_rest() -> None:
    data = b"--temp 0 --log_file ../x ... --log-file y -lv 4 -r '...'\n"
    assert drop_options(data, NATIVE, ["--log-file", "-lv"]) == b"--temp\n0\n...\n-r\n'...'\n"
    assert drop_options(b"--a b c ...", NATIVE, ["--a"]) == b"c\n...\n"
    with pytest.raises(UsageError, match="no option --nothing"):
        drop_options(data, NATIVE, ["--nothing"])


# Starting


def started(arguments: bytes, *accept: str, version: str = "0.9.3") -> None:
    data = legacy(engine("old", 70_000, version=version), [("m.gguf", gguf("m")), (".args", arguments)])
    with Container(BytesSource(data)) as container:
        refuse_unaccepted(container, accept)


def test_a_classic_engines_arguments_are_accepted_by_name() -> None:
    started(b"-m\nm.gguf\n--temp\n0\n...\n")
    with pytest.raises(FormatError, match=r"--host .*-ngl"):
        started(b"-m\nm.gguf\n--host\n0.0.0.0\n-ngl\n999\n...\n")
    with pytest.raises(FormatError, match="-ngl"):
        started(b"-m\nm.gguf\n--host\n0.0.0.0\n-ngl\n999\n...\n", "--host")
    started(b"-m\nm.gguf\n--host\n0.0.0.0\n-ngl\n999\n...\n", "--host", "--n_gpu_layers")


def test_arguments_are_judged_as_the_program_that_starts_reads_them() -> None:
    """One argument of an old engine, in one line, is two options for the grammar of our builds."""
    with pytest.raises(FormatError, match="--log-file"):
        started(b"-r\nUser: --log-file ../x\n...\n", version="0.8.0")


def test_a_bare_model_name_must_not_win_over_the_model_of_the_file() -> None:
    with pytest.raises(FormatError, match="-m"):
        started(b"...\n-m\nm.gguf\n")


# Texts


@pytest.mark.parametrize(
    ("grammar", "problem"),
    [
        ('root ::= "a"', ""),
        ('root ::= item+\nitem ::= "- " [^\\n]+ "\\n"\n', ""),
        ('root ::= ("a" | "b")* # comment\n  | "c"\n', ""),
        ('root ::= value\nvalue ::= "[" (value ("," value)*)? "]" | [0-9]+\n', ""),
        ("", "no rule root"),
        ('roof ::= "a"', "no rule root"),
        ("root ::= b", "no rule b"),
        ('root ::= root "a" | "a"', "begins with itself"),
        ('root ::= a? root "x"\na ::= "a"', "begins with itself"),
        ('root ::= ("a"*)*', "can be empty is repeated"),
        ('root ::= "a"{1000000}', "repeated"),
        ('root ::= "a"{2,1}', "repeated {2,1}"),
        ('root ::= ("a"+){2,1}', "repeated {2,1}"),
        ("root ::= [" + "ab" * 16 + "]{0,2000}", ""),
        ("root ::= [" + "ab" * 17 + "]{0,2000}", "unfold"),
        ('root ::= (("a"{1,1000}){1,1000}){1,1000}', "unfold"),
        ("root ::= " + "(" * 2000 + '"a"' + ")?" * 2000, "deeper"),
        ("root ::= " + "(" * 100_000, "bytes"),
        (
            "root ::= a0\n" + "".join(f"a{i} ::= a{i + 1} a{i + 1} | a{i + 1}\n" for i in range(20)) + 'a20 ::= "d"?',
            "open",
        ),
        (
            "root ::= a0\n"
            + "".join(f"a{i} ::= a{i + 1} | a{i + 1} | a{i + 1}\n" for i in range(20))
            + "a20 ::= [a-z]",
            "open",
        ),
        ('root ::= "x" b\nb ::= ' + " ".join(['"a"?'] * 6000), "open"),
        ('root ::= "a\n', "no rule"),
        ('root ::= ("a"', "not closed"),
        ('root ::= "a"\nroot ::= "b"', "one too many"),
        ("root ::= \x00", "NUL"),
    ],
)
def test_grammars(grammar: str, problem: str) -> None:
    found = check_grammar(grammar.encode())
    assert problem in found if problem else found == ""


def nested(depth: int) -> str:
    return '{"type":"object","properties":{"a":' * depth + '{"type":"string"}' + "}}" * depth


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ('{"type":"object","properties":{"name":{"type":"string","maxLength":40}},"required":["name"]}', ""),
        ('{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"type":"string"},{"$ref":"#/$defs/a"}]}}}', ""),
        (nested(300), "deeper"),
        ('{"$ref":"http://127.0.0.1/x"}', "leads out"),
        ('{"$ref":"#/nothing"}', "nothing at"),
        ('{"type":"string","minLength":5000000}', "minLength"),
        ('{"type":"string","minLength":2,"maxLength":2}', ""),
        ('{"type":"string","minLength":2,"maxLength":1}', "minLength is more than maxLength"),
        ('{"anyOf":[{"items":{"maxItems":2,"minItems":5}}]}', "minItems is more than maxItems"),
        ('{"minItems":true}', "minItems is more than 2000, or no number"),
        ('{"type":"string","pattern":"^((a{1,9}){1,9})$"}', "pattern"),
        ('{"a":1,"a":2}', "key twice"),
        ("[1]", "no JSON object"),
        ("{", "not JSON"),
        ("[" * 60_000, "not JSON"),
        ('{"x":NaN}', "not JSON"),
        (
            '{"$ref":"#/$defs/d0","$defs":{'
            + ",".join(
                f'"d{i}":{{"anyOf":[' + ",".join([f'{{"$ref":"#/$defs/d{i + 1}"}}'] * 3) + "]}" for i in range(20)
            )
            + ',"d20":{"type":"string"}}}',
            "unfold",
        ),
        (
            '{"type":"array","maxItems":2000,"items":{"type":"array","maxItems":2000,"items":{"type":"string"}}}',
            "unfold",
        ),
    ],
)
def test_schemas(schema: str, problem: str) -> None:
    found = check_schema(schema.encode())
    assert problem in found if problem else found == ""


def test_objects() -> None:
    assert check_object(b'{"enable_thinking":false}') == ""
    assert check_object(b"[1]") != ""
    assert check_object(b'{"a":' * 9 + b"1" + b"}" * 9) != ""
    assert check_object(b'{"a":"' + b"x" * 4096 + b'"}') != ""
