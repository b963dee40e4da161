"""Every mistake in a suite is one clear line, at its place."""

import random
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import attnbench.variants
from attnbench import variants
from attnbench.suites import SuiteError, shipped
from attnbench.suites.schema.load import load, parse
from attnbench.suites.schema.schema import schema
from attnbench.suites.schema.suite import Suite

HEAD = "name: n\nquestion: Q?\n"
REST = "shape: {seq_len: 64}\nvariants: [full]\n"


def lines(text: str) -> list[str]:
    """The lines of the error of a text."""
    with pytest.raises(SuiteError) as caught:
        parse(text, "s.yaml")
    assert len(caught.value.problems) == len(str(caught.value).splitlines())
    return str(caught.value).splitlines()


def test_all_mistakes_in_the_order_of_the_file() -> None:
    found = lines(
        """name: n
question: Q?
shape: {seq_len: 64, head_dims: 3, kv_heads: 3}
dtype: [flaot32]
threads: [0, yes]
variants:
  - fulll
  - truncated: {left: few, right: -1}
  - full: {implementation: eagre}
  - local_window: {window: [-1, 65], egdes: clip}
baseline: full/sdp
exclude:
  - {varant: full}
measure: {values: many}
name: again
"""
    )
    names = ", ".join(variants.names())
    assert found[:5] == [
        "s.yaml:3:22: shape: expected one of batch, heads, kv_heads, seq_len, head_dim, layout, padding, "
        'found "head_dims"; did you mean "head_dim"?',
        "s.yaml:3:46: shape.kv_heads: expected a divisor of heads = 8, found 3",
        "s.yaml:4:9: dtype[0]: expected one of float32, float16, bfloat16, float64, "
        'found "flaot32"; did you mean "float32"?',
        "s.yaml:5:11: threads[0]: expected auto or an integer from 1 to 4096, found 0",
        "s.yaml:5:14: threads[1]: expected a plain number, true, false, null or text in quotes, found yes, "
        "which not every reader of YAML takes alike",
    ]
    folder = "those of a folder need --variants FOLDER, in pytest --bench-variants=FOLDER"
    assert (
        found[5] == f's.yaml:7:5: variants[0]: expected one of {names}, found "fulll"; did you mean "full"?; {folder}'
    )
    assert found[6:8] == [
        's.yaml:8:23: variants[1].truncated.left: expected an integer from 0 to 2147483647 or null, found "few"',
        "s.yaml:8:35: variants[1].truncated.right: expected an integer from 0 to 2147483647 or null, found -1",
    ]
    assert found[8].startswith("s.yaml:9:28: variants[2].full.implementation: expected one of ")
    assert found[8].endswith('found "eagre"; did you mean "eager"?')
    assert found[9:] == [
        "s.yaml:10:29: variants[3].local_window.window[0]: expected an integer from 1 to 2147483647, found -1",
        "s.yaml:10:38: variants[3].local_window: expected one of window, dilation, edges, causal, sinks, "
        'implementation, found "egdes"; did you mean "edges"?',
        "s.yaml:11:11: baseline: expected variant/implementation such as full/sdpa or null, "
        'found "full/sdp"; did you mean "full/sdpa"?',
        found[12],
        's.yaml:14:19: measure.values: expected an integer from 1 to 100000, found "many"',
        "s.yaml:15:1: name: expected every key once, found it again",
    ]
    assert found[12].startswith("s.yaml:13:6: exclude[0]: expected one of variant, implementation, ")
    assert found[12].endswith('found "varant"; did you mean "variant"?')


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("processes: 3", '1: expected "processes" in measure:, found it at the top; move it there'),
        ("seq_len: 8", '1: expected "seq_len" in shape:, found it at the top; move it there'),
        ("layers: 2", '1: expected "layers" in level: {encoder: ...}, found it at the top; move it there'),
        (
            "shape: {seq_len: 8, window: 5}",
            '21: shape: expected "window" in a variant of variants:, found it in shape:; move it there',
        ),
        ("measure: {dtype: float32}", '11: measure: expected "dtype" at the top, found it in measure:; move it there'),
        (
            "variants: [full: {seq_len: 8}]",
            '19: variants[0].full: expected "seq_len" in shape:, found it in variants:; move it there',
        ),
    ],
)
def test_a_key_in_the_wrong_place_is_told_where_it_belongs(wrong: str, told: str) -> None:
    assert f"s.yaml:1:{told}" in lines(f"{wrong}\nname: a\nquestion: b\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "shape: {heads: [4, 8], kv_heads: [2, 8], seq_len: 64}\nvariants: [full]",
            "3:34: shape.kv_heads: expected a divisor of heads = 4, found 8",
        ),
        (
            "shape: {seq_len: {pow2: [3, 1]}}\nvariants: [full]",
            "3:25: shape.seq_len.pow2: expected exponents in ascending order, found 3 before 1",
        ),
        (
            REST + "baseline: full/eager",
            '5:11: baseline: expected one of this suite\'s full/sdpa, found "full/eager"; did you mean "full/sdpa"?',
        ),
        (
            REST + "exclude:\n- {seq_len: 64, variant: bigbird}",
            "6:3: exclude[0]: expected an entry that matches some case, found none; correct or remove it",
        ),
        (
            REST + "check:\n  cases:\n  - {where: {seq_len: 32}, time: {relative: 30%}}",
            "7:5: check.cases[0]: expected an entry that matches some case, found none; correct or remove it",
        ),
        (REST + "check: {cases: [where: {variant: full}]}", "5:17: check.cases[0]: expected some limit, found none"),
        (
            REST + "check: {cases: [{where: {variant: full}, time: {}}]}",
            "5:48: check.cases[0].time: expected some limit, found none",
        ),
        (
            REST + "check: {cases: [{where: {}, time: {relative: 1%}}]}",
            "5:25: check.cases[0].where: expected at least one name, found none",
        ),
        (
            REST + "check: {cases: [{where: {variant: full}, time: {relative: 1}}]}",
            '5:59: check.cases[0].time.relative: expected a percentage such as "5%", found 1',
        ),
        (
            REST + "check: {cases: [time: {relative: 1%}]}",
            "5:17: check.cases[0].where: expected a value, found nothing",
        ),
        (REST + "exclude: [seq_len: 64]", "5:10: exclude: expected some case to be left, found all 1 excluded"),
        (
            "shape: {seq_len: 64}\nvariants: [full, bigbird]\nbaseline: full/sdpa\nexclude: [variant: full]",
            "6:10: exclude: expected some case of the baseline full/sdpa to be left, found none; name another, or null",
        ),
        (
            "shape: {seq_len: {pow2: [0, 24]}, batch: [1, 2, 3, 4]}\nvariants: [bigbird: {seed: [SEEDS]}]",
            "4:11: variants: expected at most 10000 cases, found 12000 combinations",
        ),
        (
            "shape: {seq_len: 1}\nvariants: [bigbird: {seed: [SEEDS], block: [SEEDS]}]",
            "4:21: variants[0].bigbird: expected a grid of at most 10000 points, found 14400",
        ),
        (
            "shape: {seq_len: []}\nvariants: [full]",
            "3:18: shape.seq_len: expected at least one entry, found an empty list",
        ),
        (
            "shape: {seq_len: 64}\nvariants: [{full: {}, bigbird: {}}]",
            "4:12: variants[0]: expected the name of a variant, or a mapping from one name to its parameters, "
            "found a mapping",
        ),
        (
            "shape: {seq_len: 64}\nvariants: [local_window_2d: {window: [7, 0]}]",
            "4:38: variants[0].local_window_2d.window: expected a list of two integers from 1 to 2147483647, "
            "found [7, 0]",
        ),
        (
            "shape: {seq_len: 64}\nvariants: [local_window_2d: {window: [[7, 7], 7]}]",
            "4:47: variants[0].local_window_2d.window[1]: expected a list of two integers from 1 to 2147483647, "
            "found 7",
        ),
        (
            "shape: {seq_len: 64}\nvariants: [document: {lengths: [512, 0]}]",
            "4:32: variants[0].document.lengths: expected a list of integers from 1 to 2147483647, found [512, 0]",
        ),
        (
            "shape: {seq_len: 64}\nvariants: [document: {lengths: [[512, 0]]}]",
            "4:33: variants[0].document.lengths[0]: expected a list of integers from 1 to 2147483647, found [512, 0]",
        ),
        (
            "shape: {seq_len: 64}\nvariants: [document: {lengths: [[512], 256]}]",
            "4:40: variants[0].document.lengths[1]: expected a list of integers from 1 to 2147483647, found 256",
        ),
        (
            "shape: {seq_len: 64}\nvariants: [local_window: {window: [[7, 7]]}]",
            "4:36: variants[0].local_window.window[0]: expected an integer from 1 to 2147483647, found [7, 7]",
        ),
        (
            "shape: {seq_len: 64, layout: nbhd}\nvariants: [full]",
            '3:30: shape.layout: expected one of bhnd, bnhd, found "nbhd"; did you mean "bnhd"?',
        ),
        (
            "shape: {seq_len: 64}\nvariants: [full: ]",
            "4:17: variants[0].full: expected a mapping, found nothing (null)",
        ),
    ],
)
def test_mistakes_that_need_more_than_one_value(text: str, expected: str) -> None:
    seeds = ", ".join(map(str, range(1, 121)))
    assert lines(HEAD + text.replace("SEEDS", seeds)) == [f"s.yaml:{expected}"]


def test_where_has_the_grammar_of_an_exclusion() -> None:
    for entry in ("{variant: fool}", '{seq_len: "~ 3"}', "{windw: 3}", "{heads: yes}"):
        (told,) = lines(HEAD + REST + f"exclude:\n- {entry}")
        (found,) = lines(HEAD + REST + f"check:\n  cases:\n  - where: {entry}\n    work: {{severity: warn}}")
        assert found.split(": ", 2)[2].replace("check.cases[0].where", "") == told.split(": ", 2)[2], entry
        assert found.split(":")[1] == "7"


def test_mistakes_across_keys_are_told_together_with_others() -> None:
    found = lines(HEAD + REST + "baseline: full/eager\nexclude: [seq_len: 3]\nmeasure: 3\n")
    assert [line.split(": ")[1] for line in found] == ["baseline", "exclude[0]", "measure"]


@pytest.mark.parametrize("number", ["1_000", "010", "0o17", "0x1f", "1:30", "1e3", "+.5", ".inf", ".nan", "1" * 40])
@pytest.mark.parametrize("place", ["variants: [bigbird: {seed: %s}]", "variants: [full]\nlevel: %s"])
def test_numbers_that_readers_disagree_on(number: str, place: str) -> None:
    (line,) = lines(HEAD + "shape: {seq_len: 64}\n" + place % number)
    assert f"found {number}, which not every reader of YAML takes alike" in line


@pytest.mark.parametrize("word", ["yes", "No", "on", "OFF", "2001-01-01", "=", "<<"])
def test_words_that_readers_disagree_on(word: str) -> None:
    (line,) = lines(f"name: n\nquestion: {word}\n" + REST)
    assert line.startswith("s.yaml:2:11: question: expected a plain number, true, false, null or text in quotes")


def test_merge_keys_are_refused() -> None:
    assert "found <<, which" in lines(HEAD + REST + "measure:\n  <<: {values: 3}\n")[0]


@pytest.mark.parametrize("tag", ["!!int", "!!str", "!", "!mine", "!!python/name:os.system"])
def test_tags_are_refused(tag: str) -> None:
    (line,) = lines(HEAD + REST + f"measure: {{processes: {tag} 5}}\n")
    assert line == f's.yaml:5:22: expected a plain value, found the tag "{tag}"; remove it'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: expected a suite, found an empty document"),
        ("# nothing\n", "1:1: expected a suite, found an empty document"),
        ("null", "1:1: expected a mapping, found nothing (null)"),
        ("- full", "1:1: expected a mapping, found a list"),
        ("[" * 3000, "1:21: expected at most 20 values within each other, found more"),
        ("- " * 3000, "1:41: expected at most 20 values within each other, found more"),
        ("&a [*a]", "1:1: expected at most 20 values within each other, found more"),
        ("[" + "1," * 3000, "1:4000: expected at most 2000 values, found more"),
        ("a: b\x00", "1:5: expected printable text, found the character 0x0"),
        ("a: b\nc: \x1b", "2:4: expected printable text, found the character 0x1b"),
        ("a: b\nc: \ud800", "2:4: expected printable text, found the character 0xd800"),
        ("a: b\n c: d", "2:3: expected YAML, found a mistake: mapping values are not allowed here"),
        ("a: *b", "1:4: expected YAML, found a mistake: found undefined alias 'b'"),
        ('a: "\\UFFFFFFFF"', "1:7: expected YAML, found a number in an escape or a directive that is too large"),
        ("x" * (2**20 + 1), "1:1: expected at most 1048576 characters, found 1048577"),
    ],
)
def test_what_is_no_yaml_of_ours(text: str, expected: str) -> None:
    assert lines(text) == [f"s.yaml:{expected}"]


def test_an_alias_bomb_is_refused() -> None:
    bomb = "a: &a [1,1,1,1,1,1,1,1]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 8)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert "expected at most 2000 values, found more" in lines(bomb)[0]


def test_two_documents_are_refused() -> None:
    assert "expected a single document" in lines(HEAD + REST + "---\n" + HEAD + REST)[0]


def test_half_a_character_is_refused() -> None:
    assert lines('name: n\nquestion: "\\ud800"\n' + REST) == [
        "s.yaml:2:11: question: expected text, found half a character"
    ]


@pytest.mark.parametrize("key", ["3", "[a]", "{a: b}", "null", "true"])
def test_keys_are_names(key: str) -> None:
    assert "s.yaml:5:3: expected a name as key, found" in lines(HEAD + REST + f"? {key}\n: 3\n")[0]


def test_an_odd_key_stays_on_one_line() -> None:
    (line,) = lines(HEAD + REST + '"a\\nb\\u2028?": 3\n')
    assert line.endswith(r'found "a\nb\u2028?"')


def test_files(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"name: n\nq: \xc3\xa4\xff\n")
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (2**20 + 1))
    told: list[tuple[Path | str, str]] = [
        (tmp_path / "missing.yaml", ": expected the file of a suite, found none: No such file or directory"),
        (tmp_path, ": expected the file of a suite, found none: Is a directory"),
        ("a\0b", ": expected the file of a suite, found none: embedded null byte"),
        (binary, ":2:5: expected text in UTF-8, found the byte 0xff"),
        (large, ": expected at most 1048576 bytes, found more"),
    ]
    for path, expected in told:
        with pytest.raises(SuiteError) as caught:
            load(path)
        assert str(caught.value) == f"{path}{expected}"


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + (HEAD + REST).encode())
    assert load(path).name == "n"
    path.write_bytes(b"\xef\xbb\xbfnames: n\n")
    with pytest.raises(SuiteError, match=r":1:1: expected one of name, "):
        load(path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of variants that is known for the length of a test."""
    monkeypatch.setattr(attnbench.variants, "__path__", list(attnbench.variants.__path__))
    known = set(sys.modules)
    variants.extend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - known:
        if name.startswith("attnbench.variants."):
            del sys.modules[name]


PATTERN = """
from dataclasses import dataclass
from attnbench.variants import Pattern, Variant, parameter

@dataclass(frozen=True)
class Mine(Pattern):
    {name}: {kind} = parameter("what it is")

    def __post_init__(self):
        if getattr(self, "{name}") == 3:
            raise ValueError("three is not a size")

    def spans(self, n):
        return None

VARIANT = Variant(Mine, source="", implementation="{how}")
"""


@pytest.mark.parametrize("entry", ["broken_one", "broken_one: {size: 3}"])
def test_a_broken_variant_is_named(folder: Path, entry: str) -> None:
    path = folder / "broken_one.py"
    path.write_text("x = 1\n\ny = 1 / 0\n")
    suite = HEAD + f"shape: {{seq_len: 64}}\nvariants: [full, {entry}]\nbaseline: nonsense\n"
    assert lines(suite) == [f"{path}:3: expected a variant, found ZeroDivisionError: division by zero"]


@pytest.mark.parametrize(("entry", "column"), [("mine", 12), ("mine: {}", 18)])
def test_a_parameter_without_a_default_is_asked_for(folder: Path, entry: str, column: int) -> None:
    (folder / "mine.py").write_text(PATTERN.format(name="size", kind="int", how="eager"))
    suite = HEAD + f"shape: {{seq_len: 64}}\nvariants: [{entry}]\n"
    assert lines(suite) == [f"s.yaml:4:{column}: variants[0].mine.size: expected a value, found nothing"]
    assert not Draft202012Validator(schema()).is_valid(yaml.safe_load(suite))


def test_a_broken_variant_is_nothing_to_suites_that_do_not_name_it(folder: Path) -> None:
    (folder / "broken_one.py").write_text("raise SystemExit(3)\n")
    assert len(parse(HEAD + REST).cases()) > 0


@pytest.mark.parametrize("entry", ["sinks", "sinks: {window: 3}"])
def test_an_unknown_variant_says_how_those_of_a_folder_are_found(entry: str) -> None:
    (line,) = lines(HEAD + f"shape: {{seq_len: 64}}\nvariants: [{entry}]\n")
    assert 'found "sinks"' in line
    assert "--variants FOLDER" in line
    assert "--bench-variants=FOLDER" in line


def test_parameters_that_do_not_fit_together(folder: Path) -> None:
    (folder / "mine.py").write_text(PATTERN.format(name="size", kind="int", how="eager"))
    found = lines(HEAD + "shape: {seq_len: 64}\nvariants: [mine: {size: [2, 3]}]\n")
    assert found == ["s.yaml:4:18: variants[0].mine: expected parameters that fit together, found three is not a size"]


TEXTS = [path.read_text() for path in shipped().values()]
MARKS = ["  ", ": ", "- ", "? ", "<<", "---", "...", "!!int", "&a ", "*a", "%YAML 1.1\n", '"\\x', '"\\U', "[" * 50]
WORDS = ["1e999", "null", "yes", "-1", "0x", "1_0", "1:2:3", "9" * 50, "full", "seq_len", "pow2", "> 3", "/"]
TOKENS = [*"[]{}:,-&*!|>%@`'\"\\#?\n\t ~=<.\x00\x85\ufeff\ud800\U0001f600", *MARKS, *WORDS]


def ends_well(read: Callable[[], Suite]) -> bool:
    """Whether reading ends in a suite or in a `SuiteError` of whole lines; any other exception passes through."""
    try:
        return bool(read().cases())
    except SuiteError as error:
        return 0 < len(error.problems) == len(str(error).splitlines())


@pytest.mark.parametrize("seed", range(3))
def test_mangled_texts_end_well(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(80):
        text = chance.choice(TEXTS)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(text) + 1)
            gone = chance.choice([0, 1, 1, 3, 20])
            text = text[:at] + chance.choice(["", chance.choice(TOKENS), chance.choice(text)]) + text[at + gone :]
        assert ends_well(partial(parse, text)), text


@pytest.mark.parametrize("seed", range(2))
def test_flipped_bytes_end_well(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    path = tmp_path / "s.yaml"
    for _ in range(50):
        content = bytearray(chance.choice(TEXTS).encode())
        for _ in range(chance.randint(1, 3)):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        assert ends_well(partial(load, path)), content


@settings(max_examples=100)
@given(st.lists(st.sampled_from([*TOKENS, "name", "shape", "variants", "3", "a"]), max_size=30).map("".join))
def test_made_up_texts_end_well(text: str) -> None:
    assert ends_well(partial(parse, text))
