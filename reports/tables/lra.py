"""Table of an encoder's training steps in the layout of Long Range Arena, each row beside its published one."""

import math
from collections.abc import Callable

from attnbench.reports.findings.lra import THOUSANDS, Arena, Number, Row
from attnbench.reports.findings.run import Run
from attnbench.reports.text import escape, units
from attnbench.reports.text.cells import NONE, SHORT

HEAD = """\
Training steps per second and peak memory; in brackets the ratio to full attention, in rows of Long Range Arena to its
Transformer. Rows in italics are published: Tay et al. 2020, arXiv 2011.04006, table 2 (batch 32, 16 TPU v3 chips), and
the mean of five scores of table 1. Compare ratios: machines, batch and models differ. The published 3K cell of the
synthesizer is faster than its 2K cell, and is probably a slip."""


def markdown(run: Run) -> str:
    """Return the tables of all settings that train an encoder at lengths of Long Range Arena."""
    return "\n\n".join([HEAD, *map(_table, run.arenas)])


def _table(arena: Arena) -> str:
    """Return the table of one setting."""
    lengths = [f"{each}K" for each in THOUSANDS]
    header = ["", *(f"{each} steps/s" for each in lengths), *(f"{each} memory" for each in lengths), "score"]
    return f"### {escape.text(arena.title)}\n\n{escape.table(header, [_cells(each) for each in arena.rows])}"


def _cells(row: Row) -> list[str]:
    """Return the cells of a row."""
    name = f"*{escape.text(row.name)}*" if row.published else escape.text(row.name)
    size = _gigabytes if row.published else units.size
    speeds = [_cell(each, lambda value: units.number(value, 2), "x") for each in row.steps_per_s]
    peaks = [_cell(each, size, "") for each in row.peak_bytes]
    return [name, *speeds, *peaks, NONE if math.isnan(row.score) else f"{row.score:.1f}"]


def _cell(number: Number, written: Callable[[float], str], unit: str) -> str:
    """Write a number and its ratio, `8.1 (1.0x)`, or how its case ended."""
    if math.isnan(number.value):
        return SHORT.get(number.status, NONE)
    told = written(number.value)
    return told if math.isnan(number.ratio) else f"{told} ({units.number(number.ratio, 2)}{unit})"


def _gigabytes(count: float) -> str:
    """Write bytes as they are published."""
    return f"{count / 1e9:.2f} GB"
