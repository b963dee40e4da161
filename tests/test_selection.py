"""Parts of a suite: the axes, and the expressions over titles."""

import ast
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from attnbench.runner.cli import main
from attnbench.runner.execution import engine
from attnbench.runner.execution.task import Finished
from attnbench.suites import Case
from attnbench.suites.schema.load import parse
from attnbench.suites.selection import MOST_WORDS, Narrowing, SelectionError, expressed

SUITE = """
name: tiny
question: What is left?
shape: {heads: 1, head_dim: 8, seq_len: [51, 512, 5120]}
device: [cpu, cuda]
direction: [forward, training]
variants:
  - full: {implementation: [eager, sdpa, sdpa_masked]}
  - local_window: {window: [5, 257]}
  - truncated: {left: 3, right: 4}
"""
CASES = parse(SUITE, "tiny.yaml").cases()


def titles(text: str) -> set[str]:
    keys = expressed(CASES, text)
    return {case.title for case in CASES if case.key in keys}


def test_keys_are_words_and_match_their_cases_alone() -> None:
    one, other = CASES[0], CASES[-1]
    assert expressed(CASES, f"{one.key} or {other.key}") == {one.key, other.key}


def having(*words: str) -> set[str]:
    return {case.title for case in CASES if all(word in case.title for word in words)}


EVERY = having()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("local", having("local_window")),
        ("local_window and training", having("local_window", "training")),
        ("local_window training", having("local_window", "training")),
        ("local_window and not training", having("local_window") - having("training")),
        ("not local", EVERY - having("local_window")),
        ("not not local", having("local_window")),
        ("eager or local and training", having("eager") | having("local", "training")),
        ("(eager or local) and training", having("eager", "training") | having("local", "training")),
        ("(eager or local) training", having("eager", "training") | having("local", "training")),
        ("not(eager or local)", EVERY - having("eager") - having("local")),
        ("((eager))", having("eager")),
        ("sdpa", having("/sdpa ")),
        ("sdpa_masked", having("sdpa_masked")),
        ("sdpa or sdpa_masked", having("sdpa")),
        ("512", having("N=512 ")),
        ("N=51", having("N=51 ")),
        ("local_window(window=257)", having("(window=257)")),
        ("truncated(left=3, right=4)/blockwise and cuda", having("truncated", "cuda")),
        ("not truncated(left=3, right=4)/blockwise", EVERY - having("truncated")),
        ("(local_window(window=5) or eager)", having("(window=5)") | having("eager")),
    ],
)
def test_expressions(text: str, expected: set[str]) -> None:
    assert expected
    assert titles(text) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected a word, found the end"),
        ("and", 'expected a word, found "and"'),
        ("eager and", "expected a word, found the end"),
        ("eager or or local", 'expected a word, found "or"'),
        ("not", "expected a word, found the end"),
        ("(eager", "expected ), found the end"),
        ("(eager or", "expected a word, found the end"),
        ("eager)", 'expected and, or, or the end, found ")"'),
        ("()", 'expected a word, found ")"'),
        ("localy", 'expected a part of some title, found "localy"; nearest:\n  local_window'),
        ("eager or not localy", 'found "localy"; nearest:\n  local_window'),
        ("not " * MOST_WORDS + "local", f"expected at most {MOST_WORDS} words, found {MOST_WORDS + 1}"),
        ("(" * 3000, f"expected at most {MOST_WORDS} words, found 3000"),
    ],
)
def test_what_is_no_expression(text: str, told: str) -> None:
    with pytest.raises(SelectionError) as error:
        expressed(CASES, text)
    assert told in str(error.value)


@given(st.lists(st.sampled_from(["and", "or", "not", "(", ")", "eager", "local", "512"]), max_size=12))
def test_what_python_reads_is_read_alike(words: list[str]) -> None:
    python = " ".join(f"'{word}' in title" if word in ("eager", "local", "512") else word for word in words)
    try:
        tree = ast.parse(python, mode="eval")
    except SyntaxError:
        return
    # Words side by side mean something else there: a call; and so do empty parentheses.
    if any(isinstance(node, ast.Call | ast.Tuple) for node in ast.walk(tree)):
        return
    code = compile(tree, "", "eval")
    meant = {case.key for case in CASES if eval(code, {"title": case.title.replace("5120", "")})}
    assert expressed(CASES, " ".join(words)) == meant


def test_every_axis_leaves_what_has_one_of_its_values() -> None:
    left = Narrowing(("full", "truncated"), ("cpu",), ("forward",), (51, 512)).of(CASES)
    assert [case.key for case in left] == [
        case.key
        for case in CASES
        if case.mechanism.name in ("full", "truncated")
        and (case.setting.device, case.setting.direction) == ("cpu", "forward")
        and case.setting.shape.seq_len in (51, 512)
    ]
    assert len(left) == 8


def test_nothing_asked_is_everything() -> None:
    assert Narrowing().of(CASES) == CASES


@pytest.mark.parametrize(
    ("narrowing", "told"),
    [
        (
            Narrowing(variant=("local_windo",)),
            '--variant: expected one of this suite\'s full, local_window, truncated, found "local_windo"; '
            'did you mean "local_window"?',
        ),
        (Narrowing(device=("tpu",)), '--device: expected one of this suite\'s cpu, cuda, found "tpu"'),
        (Narrowing(direction=("backward",)), "--direction: expected one of this suite's forward, training, found"),
        (Narrowing(seq_len=(51, 52)), "--seq-len: expected one of this suite's 51, 512, 5120, found 52"),
        (
            Narrowing(variant=("truncated",), seq_len=(51,), words="eager"),
            f'--variant truncated --seq-len 51 -k "eager": expected some case that fits, found none of {len(CASES)}',
        ),
        (Narrowing(words="eager and local"), '-k "eager and local": expected some case that fits, found none'),
    ],
)
def test_what_leaves_nothing_is_a_mistake(narrowing: Narrowing, told: str) -> None:
    with pytest.raises(SelectionError) as error:
        narrowing.of(CASES)
    assert str(error.value).startswith(told)


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[Case]]:
    """The cases that the engine is asked to measure, from a folder that holds tiny.yaml."""
    told: list[list[Case]] = []

    def run(suite: Any, folder: Path, *, cases: list[Case], **named: Any) -> Finished:
        told.append(cases)
        return Finished((), (), out_of_time=False)

    monkeypatch.setattr(engine, "run", run)
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(SUITE)
    return told


def test_the_command_line_narrows_a_suite(measured: list[list[Case]]) -> None:
    words = ["--variant", "full", "--variant", "truncated", "--seq-len", "51", "--direction", "forward", "-k", "cpu"]
    done = CliRunner().invoke(main, ["run", "tiny.yaml", *words])
    assert done.exit_code == 5, "the engine was asked, and measured nothing"
    assert [f"{case.mechanism.name}/{case.implementation}" for case in measured[0]] == [
        "full/eager",
        "full/sdpa",
        "full/sdpa_masked",
        "truncated/blockwise",
    ]
    assert done.output == ""


def test_a_baseline_that_is_left_out_is_told_once(measured: list[list[Case]]) -> None:
    done = CliRunner().invoke(main, ["run", "tiny.yaml", "--variant", "truncated"])
    assert done.output == "12 of 12 cases get no speed-up: their baseline full/sdpa is left out\n"


@pytest.mark.parametrize("words", [["--variant", "none"], ["-k", "(full"], ["--seq-len", "52"], ["-k", "eager local"]])
def test_a_mistake_is_told_in_one_line(measured: list[list[Case]], words: list[str]) -> None:
    done = CliRunner().invoke(main, ["run", "tiny.yaml", *words])
    assert done.exit_code == 2
    assert "expected" in done.output
    assert len(done.output.splitlines()) == 1
    assert not measured
