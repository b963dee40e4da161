"""A figure of one's own: what it draws, and that its conditions never run code."""

import contextlib
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import rows
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from test_figures import faults, texts

from attnbench import reports
from attnbench.reports.data.where import WhereError, where
from attnbench.reports.drawing import plot, saving, theme
from attnbench.reports.findings.run import Run, load
from attnbench.runner.cli import main

PLAN = rows.Plan(
    (
        rows.FULL,
        replace(rows.LOCAL, endings={1024: rows.OOM, 2048: rows.SKIPPED}),
        replace(rows.LOCAL, parameters={"window": 513}),
        rows.Series("bigbird", "blockwise", {"block": 32}, at_1024_ns=3e6),
    ),
    (256, 512, 1024, 2048),
    ("forward", "training"),
)
FRAME = pd.DataFrame(
    {
        "n": pd.Series([1, 2, 3, None], dtype="Int64"),
        "x": [0.5, 1.5, np.nan, -2.0],
        "word": pd.Series(["a", "b", "b", None], dtype="str"),
        "yes": pd.Series([True, False, None, True], dtype="boolean"),
    }
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return load(rows.write(tmp_path / "run", PLAN))


# Conditions


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("n == 2", [1]),
        ("n != 2", [0, 2]),
        ("1 < n <= 3", [1, 2]),
        ("2 <= n", [1, 2]),
        ("x < 0", [3]),
        ("x == -2", [3]),
        ("not x < 1", [1, 2]),
        ("word == 'b' and x > 1 or n == 1", [0, 1]),
        ("word in ['a', 'c']", [0]),
        ("word not in ('a', 'c')", [1, 2]),
        ("n in [1, 3]", [0, 2]),
        ("yes", [0, 3]),
        ("not yes", [1, 2]),
        ("yes == False", [1]),
        ("x < n", [0, 1]),
        ("(n == 1 or n == 3) and not (word == 'a')", [2]),
        ("  n == 1  ", [0]),
        ("not " * 40 + "n == 1", [0]),
        ("n == " + "9" * 900, []),
        ("x < 1e999", [0, 1, 3]),
        ("n = 1", [0]),
        ("word == b", [1, 2]),
        ("word in (a, c)", [0]),
        ("word == ''", [3]),
        ("x != '' and n == ''", [3]),
        ("yes = no", [1]),
    ],
)
def test_a_condition_chooses_rows(condition: str, found: list[int]) -> None:
    assert list(where(FRAME, condition).index) == found


CODE = (
    "__import__('os').system('touch pwned')",
    "n.sum() > 0",
    "@n > 0",
    "open('pwned', 'w')",
    "[].append(1)",
    "(lambda: 1)() == 1",
    "[m for m in (1, 2)] == n",
    "n == (n := 1)",
    "n[0] == 1",
    "n.__class__ == 1",
    "f'{n}' == 'a'",
    "n + 1 == 2",
    "n if n else n",
    "n == 9 ** 9 ** 9",
    "exit",
    "n is 1",
    "n == b'1'",
    "n == 1j",
    "n == None",
    "n == ...",
    "n == {'a': 1}",
    "n == *word",
    "n; n",
    "import os",
    "yield n",
    "await n",
    "",
    "n",
    "1 == 1 == [1]",
    "n ==",
    "\x00",
    "(" * 900 + "n",
    "n < 1e999 < '",
)


@pytest.mark.parametrize("condition", CODE)
def test_a_condition_never_runs_code(condition: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WhereError, match="^expected "):
        where(FRAME, condition)
    assert not [*tmp_path.iterdir()]


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("nxword yes()[]=<>!'\".,@_:+-*/0123456789\\\n"), max_size=40))
def test_any_text_is_a_condition_or_one_clear_error(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with contextlib.suppress(WhereError):
            where(FRAME, text)


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("wrod == 'a'", "expected a column, such as word, found wrod at character 1"),
        ("N == 1", "expected a column, such as n, found N at character 1"),
        ("n == 1 " + " " * 1000 + "or n == 2", "expected a condition of at most 1000 characters, found 1016"),
        ("(" * 900 + "n", f"expected fewer brackets within brackets, found {'(' * 399}…"),
    ],
)
def test_a_wrong_condition_is_told(condition: str, told: str) -> None:
    with pytest.raises(WhereError) as caught:
        where(FRAME, condition)
    assert str(caught.value) == told


# What is drawn


def drawn(run: Run, **named: Any) -> tuple[Axes, list[str]]:
    """The axes of a figure, and the entries of its legend."""
    given: dict[str, Any] = {"x": "seq_len", "y": "time", "hue": "series", "condition": ""} | named
    with saving.settings(theme.settings("paper")):
        figure = plot.figure(run, **given, width=6.9)
        assert faults(figure) == []
        entries = [each.get_text() for legend in figure.legends for each in legend.get_texts()]
        return figure.axes[0], [each.replace("\n", "") for each in entries]


def test_lines_are_the_numbers_of_the_table_with_their_intervals(run: Run) -> None:
    axes, entries = drawn(run, condition="direction == 'forward' and variant == 'full'")
    assert entries == ["full/sdpa"]
    part = run.frame[(run.frame["direction"] == "forward") & (run.frame["variant"] == "full")]
    assert axes.lines[0].get_xydata() == pytest.approx(part[["seq_len", "time_ns"]].to_numpy(np.float64))
    band = np.asarray(axes.collections[0].get_paths()[0].vertices)
    assert {*part["time_low_ns"], *part["time_high_ns"]} <= {*band[:, 1]}
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("sequence length N", "time of one call")
    assert [each.get_text() for each in axes.get_xticklabels()] == ["256", "512", "1K", "2K"]
    assert all(each.get_text().endswith(("ms", "µs")) for each in axes.get_yticklabels())


def test_what_varies_beside_the_hue_has_lines_of_its_own(run: Run) -> None:
    _, entries = drawn(run, hue="variant", condition="status == 'passed' and variant != 'bigbird'")
    assert entries == [
        "full (forward)",
        "local_window (forward, window=129)",
        "local_window (forward, window=513)",
        "full (training)",
        "local_window (training, window=129)",
        "local_window (training, window=513)",
    ]


def test_cases_without_a_number_are_counted(run: Run) -> None:
    _, entries = drawn(run, hue="variant", condition="variant == 'local_window'")
    assert entries[-1] == "not drawn, without a number: 2 OOM, 2 skipped"
    _, entries = drawn(run, x="window", hue="seq_len", condition="direction == 'forward' and variant != 'bigbird'")
    assert entries[-2:] == ["not drawn, without a number: 1 OOM, 1 skipped", "not drawn, without window: 4 passed"]


@pytest.mark.parametrize(
    ("y", "label", "ends"),
    [
        ("memory", "peak memory of one call", "MiB"),
        ("speedup", "speed-up against the baseline", "x"),
        ("speed-up", "speed-up against the baseline", "x"),
        ("tokens_per_s", "tokens per second", "M"),
        ("realised", "realised", ""),
    ],
)
def test_a_number_has_words_and_units(run: Run, y: str, label: str, ends: str) -> None:
    axes, _ = drawn(run, y=y, hue="variant", condition="direction == 'forward'")
    assert axes.get_ylabel() == label
    assert axes.get_yticklabels()[-1].get_text().endswith(ends)


def test_columns_go_by_any_of_their_names(run: Run) -> None:
    axes, entries = drawn(run, x="N", y="peak_memory", hue="name", condition="N <= 512 and direction = forward")
    assert axes.get_xlabel() == "sequence length N"
    assert axes.get_ylabel() == "peak memory of one call"
    assert entries[:2] == ["full/sdpa", "local_window(window=129)/blockwise"]


def test_texts_across_have_points_and_bars(run: Run) -> None:
    axes, entries = drawn(run, x="label", hue="direction", condition="seq_len == 512")
    assert entries == ["forward", "training"]
    names = ["full", "local_window(window=129)", "local_window(window=513)", "bigbird(block=32)"]
    assert [each.get_text() for each in axes.get_xticklabels()] == names
    assert {line.get_linestyle() for line in axes.lines} == {"None"}
    assert len(axes.collections) == 2


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ({"y": "seedup"}, "expected a column, such as speedup, speed-up"),
        ({"y": "label"}, "expected a column of numbers, such as time, speedup or memory, found label"),
        ({"x": "seqlen"}, "expected a column, such as seq_len"),
        ({"hue": "varaint"}, "expected a column, such as variant, found varaint"),
        ({"condition": "seq_len == 3"}, "expected cases for which seq_len == 3, found none of 32"),
        (
            {"condition": "status != 'passed'"},
            "expected cases with a number in time_ns and with seq_len, found none: 2 OOM, 2 skipped",
        ),
    ],
)
def test_nothing_to_draw_is_one_line(run: Run, named: dict[str, str], told: str) -> None:
    with pytest.raises(WhereError) as caught:
        drawn(run, **named)
    assert str(caught.value).startswith(told)


def test_a_narrow_figure_keeps_its_texts(run: Run) -> None:
    for look in theme.SCALES:
        with saving.settings(theme.settings(look)):
            for given in (
                ("seq_len", "time", "series"),
                ("label", "memory", "direction"),
                ("window", "time", "seq_len"),
            ):
                figure = plot.figure(run, *given, "", theme.INCHES["column"])
                assert (given, faults(figure)) == (given, [])
                assert [*texts(figure)]


# From Python


def test_a_plot_returns_axes(run: Run) -> None:
    before = dict(mpl.rcParams)
    axes = reports.plot(run, y="speedup", hue="variant", where="direction == 'training'")
    assert isinstance(axes, Axes)
    assert axes.get_ylabel() == "speed-up against the baseline"
    assert len(axes.figure.legends) == 1
    pyplot.close()
    with pytest.raises(WhereError):
        reports.plot(run, y="seedup")
    assert pyplot.get_fignums() == []
    assert dict(mpl.rcParams) == before


def test_a_plot_goes_into_axes_of_ones_own(run: Run) -> None:
    own = Figure().add_subplot()
    assert reports.plot(run, ax=own) is own
    legend = own.get_legend()
    assert legend is not None
    assert legend.get_texts()[0].get_text() == "full/sdpa (forward)"


# The command line


def bench(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["plot", *map(str, words)])


@pytest.mark.parametrize(("kind", "begins"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_a_plot_is_a_file(tmp_path: Path, kind: str, begins: bytes) -> None:
    folder = rows.write(tmp_path / "run", PLAN)
    words = ("--x", "seq_len", "--y", "time", "--hue", "variant", "--where", "dtype == 'float32'", "--width", "column")
    done = bench(folder, *words, "--out", tmp_path / f"it.{kind}")
    assert done.exit_code == 0, done.output
    title = "Time of one call over sequence length N, for dtype == 'float32'. synthetic · cpu: Example CPU"
    assert done.output.startswith(f"{tmp_path / f'it.{kind}'}\n  {title}")
    first = (tmp_path / f"it.{kind}").read_bytes()
    assert first.startswith(begins)
    assert bench(folder, *words, "--out", tmp_path / f"it.{kind}").exit_code == 0
    assert (tmp_path / f"it.{kind}").read_bytes() == first


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    folder = rows.write(tmp_path / "run", PLAN)
    for words, told in (
        (("--where", "dtypes == 'a'"), "expected a column, such as dtype, ties, found dtypes at character 1"),
        (("--out", "it.gif"), "Error: --out: expected a file with .pdf, .svg or .png, found it.gif"),
        (("--font", "Ariel Narow"), "Error: --font: expected a font that is installed"),
    ):
        done = bench(folder, *words)
        assert done.exit_code == 2
        assert done.output.splitlines()[-1].startswith(told)
    assert bench(folder).exit_code == 0
    assert (folder / "plot.pdf").is_file()
