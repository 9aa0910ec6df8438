"""Names that chat templates may use, and names that only attacks use (spec/1, 7.11.3 and 7.11.4)."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    """The words of ``text``."""
    return frozenset(text.split())


TAGS = _words(
    "if elif else endif for endfor set endset macro endmacro call endcall filter endfilter raw endraw "
    "generation endgeneration break continue with endwith do"
)
FORBIDDEN_TAGS = _words("include import extends from")

FILTERS = _words(
    "abs batch capitalize center count d default dictsort e escape first float forceescape from_json groupby indent "
    "int items join last length list lower map max min random reject rejectattr replace reverse round safe select "
    "selectattr slice sort string striptags sum title tojson trim truncate unique upper wordcount wordwrap urlencode"
)
TESTS = _words(
    "boolean callable defined divisibleby eq equalto even false filter float ge greaterthan gt in integer iterable le "
    "lessthan lower lt mapping ne none None number odd sameas sequence string test true True False undefined "
    "upper"
)
METHODS = _words(
    "append capitalize copy count endswith extend find get index insert items join keys lower lstrip pop removeprefix "
    "removesuffix replace rfind rsplit rstrip split splitlines startswith strip title update upper values "
    "isdigit isspace isupper islower isalpha isalnum cycle"
)
FUNCTIONS = _words("range namespace dict raise_exception strftime_now caller loop super")

FORBIDDEN_FILTERS = frozenset({"attr"})
FORMAT_NAMES = frozenset({"format", "format_map", "vformat"})
INTROSPECTION = _words(
    "mro subclasses globals builtins func_globals func_code func_defaults gi_frame gi_code cr_frame cr_code ag_frame "
    "ag_code f_globals f_locals f_builtins f_back f_code tb_frame tb_next im_func im_self co_code co_consts "
    "popen subprocess import_module load_module"
)
FORBIDDEN_NAMES = _words(
    "cycler joiner lipsum self request config url_for get_flashed_messages session application environment eval exec "
    "compile open getattr setattr delattr vars globals locals builtins os sys subprocess popen input breakpoint"
)
KEYWORDS = _words("and or not in is if else elif for set true false none True False None recursive")

# What becomes of a text: see template_values.
LOOP_FACTS = _words("index index0 revindex revindex0 first last length depth depth0 changed")
ASKING = _words("count find index rfind startswith endswith isdigit isspace isupper islower isalpha isalnum")
SAME = _words("lower upper copy")
CUTTING = _words("split rsplit splitlines strip lstrip rstrip removeprefix removesuffix partition")
TAKING = _words("get pop values items keys cycle")
READING = ASKING | SAME | CUTTING | TAKING
COUNTING = _words("length count int float abs round wordcount")
KEEPING = _words("default d lower upper safe e escape forceescape")
PICKING = _words("first last min max random sum")
LISTING = _words("list sort unique reverse select reject selectattr rejectattr batch slice items dictsort groupby")

INVISIBLE = "[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\U000e0000-\U000e007f]"
"""Characters that change the order of text on screen, or do not show at all."""
