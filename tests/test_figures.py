"""Figures of a given width: every text is whole, on the figure and apart from the others."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rows
from click.testing import CliRunner, Result
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from test_profile import made, written
from test_reports_axes import SWEPT
from test_reports_page import FIELD

from attnbench.reports import figures
from attnbench.reports.drawing import fixed, log_ticks, saving
from attnbench.reports.drawing.theme import INCHES, Theme, Width, settings
from attnbench.reports.findings.run import Run, load
from attnbench.runner.cli import main
from attnbench.suites import Status

ENDED = dict.fromkeys((2048, 4096), rows.TIMED_OUT) | dict.fromkeys((8192, 16384, 32768), rows.SKIPPED)
PLANS = {
    "statuses": rows.Plan(
        (
            rows.FULL,
            replace(rows.LOCAL, endings=ENDED),
            replace(rows.LOCAL, implementation="sdpa_masked", endings={256: (Status.WRONG, "off")}),
            rows.Series("longformer", "blockwise", {"window": 1025, "globals": 16, "causal": True}, at_1024_ns=3e6),
        ),
        tuple(2**power for power in range(6, 16)),
        ("forward", "training"),
        baseline="longformer/blockwise",
    ),
    "one_length": replace(rows.QUICK, lengths=(512,)),
    "keys": SWEPT,
    "threads": rows.Plan((rows.FULL, rows.LOCAL), (512, 700, 720, 1024), threads=(1, 2, "auto")),
    "families": FIELD,
}
LOOKS = (
    ("column", "paper"),
    pytest.param("page", "paper", marks=pytest.mark.slow),
    pytest.param("page", "slides", marks=pytest.mark.slow),
)


def texts(figure: Figure) -> Iterator[tuple[str, tuple[float, float, float, float]]]:
    """Every text that is seen, with its left, bottom, right and top in pixels."""
    canvas: Any = FigureCanvasAgg(figure)  # its methods have no types
    canvas.draw()
    for each in figure.findobj(Text):
        assert isinstance(each, Text)
        if each.get_visible() and each.get_text().strip():
            yield each.get_text(), each.get_window_extent(canvas.get_renderer()).extents


def faults(figure: Figure) -> list[str]:
    """Texts that are not whole on the figure, and those that overlap; a pixel is forgiven."""
    found = [(text, box) for text, box in texts(figure) if box[2] - box[0] > 1]
    wide, tall = figure.bbox.size
    outside = [
        f"outside: {text!r}"
        for text, (left, bottom, right, top) in found
        if min(left, bottom) < -1 or right > wide + 1 or top > tall + 1
    ]
    pairs = [(one, other) for i, one in enumerate(found) for other in found[:i]]
    over = [
        f"overlap: {one!r} and {other!r}"
        for (one, a), (other, b) in pairs
        if min(a[2], b[2]) - max(a[0], b[0]) > 1 and min(a[3], b[3]) - max(a[1], b[1]) > 1
    ]
    return outside + over


def drawn(run: Run, name: str, width: Width, theme: Theme) -> Figure:
    with saving.settings(settings(theme)):
        figure = figures.load(name).draw(run, INCHES[width])
        assert [*texts(figure)]
        return figure


@pytest.mark.parametrize(("width", "theme"), LOOKS)
@pytest.mark.parametrize("plan", PLANS)
def test_a_figure_of_a_width_keeps_its_labels_and_legend(tmp_path: Path, plan: str, width: Width, theme: Theme) -> None:
    run = load(rows.write(tmp_path, PLANS[plan]))
    for name in figures.of(run):
        with saving.settings(settings(theme)):
            figure = figures.load(name).draw(run, INCHES[width])
            assert (name, faults(figure)) == (name, [])
            assert figure.get_figwidth() == INCHES[width]
            shown = " ".join(text for text, _ in texts(figure))
            for label in run.frame["label"].unique() if plan == "statuses" and name != "patterns" else []:
                assert label.replace(" ", "") in shown.replace("\n", "").replace(" ", ""), name


def test_a_profile_of_a_width_keeps_its_labels_and_legend(tmp_path: Path) -> None:
    run = load(written(tmp_path, rows.QUICK, made))
    for name in ("profile", "profile_memory"):
        with saving.settings(settings("paper")):
            assert (name, faults(figures.load(name).draw(run, INCHES["column"]))) == (name, [])


def test_a_text_outside_and_an_overlap_are_seen() -> None:
    figure = Figure(figsize=(3, 1))
    figure.text(0.9, 0.5, "a text that leaves the figure")
    assert [each.split(":")[0] for each in faults(figure)] == ["outside"]
    figure.text(0.95, 0.5, "b")
    assert [each.split(":")[0] for each in faults(figure)] == ["outside", "overlap"]


def test_statuses_that_do_not_fit_are_letters_that_the_legend_explains(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, PLANS["statuses"]))
    with saving.settings(settings("paper")):
        shown = [text for text, _ in texts(figures.load("time").draw(run, INCHES["column"]))]
    assert shown.count("T") == 4
    assert shown.count("s") == 6
    assert {"T: TIME-OUT", "s: skipped", "W: WRONG"} <= set(shown)


@pytest.mark.parametrize("theme", ["paper", "slides"])
def test_letters_and_lines_of_a_theme(tmp_path: Path, theme: Theme) -> None:
    run = load(rows.write(tmp_path, rows.QUIET))
    with saving.settings(settings(theme)):
        figure = figures.load("time").draw(run, INCHES["page"])
        axes = figure.axes[0]
        factor = {"paper": 1.0, "slides": 1.5}[theme]
        assert axes.xaxis.label.get_fontsize() == pytest.approx(8.5 * factor)
        assert axes.lines[0].get_linewidth() == pytest.approx(2.1 * factor)


# Ticks


@pytest.mark.parametrize("low", [3.0, 7e2, 9.1e5, 1.3e6, 9.9e8])
@pytest.mark.parametrize("ratio", [1.9, 3.0, 9.0, 40.0, 1e3, 1e6])
def test_ticks_of_times_are_evenly_spaced(low: float, ratio: float) -> None:
    places = [place for place, _ in log_ticks.times(low, low * ratio)]
    assert 2 <= len(places) <= 7
    assert low <= places[0] < places[-1] <= low * ratio
    steps = np.diff(np.log(places))
    # Two digits, and 3 for the root of 10. By ones, twos and fives it would be 1.32.
    assert steps.max() / steps.min() < 1.31
    assert len({text for _, text in log_ticks.times(low, low * ratio)}) == len(places)


def test_a_figure_over_keys_spans_the_keys_that_were_measured(tmp_path: Path) -> None:
    run = load(rows.write(tmp_path, SWEPT))
    axes = figures.load("time_by_keys").draw(run).axes[0]
    keys = [count for each in run.results[0].sweeps for count in each.keys]
    left, right = np.log(axes.get_xlim())
    span = np.log(max(keys) / min(keys))
    assert span / (right - left) > 0.75


def test_a_text_is_broken_where_it_reads_well() -> None:
    with saving.settings(settings("paper")):
        assert fixed.fitted("local_window(window=129)/blockwise", 1.6, 8) == "local_window(window=129)/\nblockwise"
        lines = fixed.fitted("x" * 200, 1.0, 8).split("\n")
        assert "".join(lines) == "x" * 200
        assert max(fixed.wide(line, 8) for line in lines) <= 1.0


# The command line


def bench(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["figures", *map(str, words)])


def test_figures_for_a_paper(tmp_path: Path) -> None:
    folder = rows.write(tmp_path / "run", rows.QUIET)
    done = bench(folder, "--width", "column")
    assert done.exit_code == 0, done.output
    assert sorted(os.listdir(folder / "paper")) == ["memory.pdf", "patterns.pdf", "speedup.pdf", "time.pdf"]
    assert f"{folder / 'paper' / 'time.pdf'}\n  Time of one call. synthetic · cpu: Example CPU" in done.output
    first = (folder / "paper" / "time.pdf").read_bytes()
    assert first.startswith(b"%PDF")
    assert b"/MediaBox [ 0 0 237.6 " in first
    assert b"/FontFile2" in first
    assert b"/Type3" not in first
    assert bench(folder, "time", "--width", "column").exit_code == 0
    assert (folder / "paper" / "time.pdf").read_bytes() == first


@pytest.mark.parametrize(("kind", "begins"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_figures_for_slides(tmp_path: Path, kind: str, begins: bytes) -> None:
    folder = rows.write(tmp_path / "run", rows.QUIET)
    done = bench(folder, "time", "--theme", "slides", "--format", kind, "--out", tmp_path / "out", "--font", "serif")
    assert done.exit_code == 0, done.output
    assert os.listdir(tmp_path / "out") == [f"time.{kind}"]
    assert (tmp_path / "out" / f"time.{kind}").read_bytes().startswith(begins)


def test_a_font_and_a_figure_that_are_not_there_are_one_line(tmp_path: Path) -> None:
    folder = rows.write(tmp_path / "run", rows.QUIET)
    font = bench(folder, "--font", "DejaVu Snas")
    assert font.exit_code == 2
    assert font.output.splitlines()[-1].startswith(
        "Error: --font: expected a font that is installed, such as DejaVu Sans"
    )
    assert font.output.splitlines()[-1].endswith(", found DejaVu Snas")
    figure = bench(folder, "tmie")
    assert figure.exit_code == 2
    assert figure.output.splitlines()[-1] == "Error: expected figures of this run, such as time, found tmie"


def test_a_tall_figure_is_told(tmp_path: Path) -> None:
    done = bench(rows.write(tmp_path / "run", FIELD), "time", "--width", "column")
    assert "inches tall; bench plot draws a part)" in done.output


def test_figures_where_no_case_passed(tmp_path: Path) -> None:
    gone = replace(rows.FULL, endings=dict.fromkeys((512, 1024), rows.OOM))
    assert bench(rows.write(tmp_path / "run", rows.Plan((gone,), (512, 1024))), "--width", "column").exit_code == 5
