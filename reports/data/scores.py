"""Columns of trained models: the mean score, its difference from the baseline's, and the speed of training."""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from attnbench.reports.stats.statistics import FloatArray, IntArray, interval
from attnbench.suites import Sample
from attnbench.suites.result import Score

COLUMNS = (
    *("score", "score_low", "score_high"),
    *("score_gain", "score_gain_low", "score_gain_high"),
    *("seeds", "steps_per_s", "lr", "reach"),
)

Timed = Sequence[tuple[int, Sample]]
"""Samples that passed, each with the row of its case."""


def add(frame: pd.DataFrame, timed: Timed, processes: Sequence[tuple[int, int]], baseline_rows: IntArray) -> None:
    """Fill in the columns above. They are empty for cases that train no model."""
    own = _scores(timed, processes, len(frame))
    known = baseline_rows >= 0
    over = np.where(known[:, None], own - own[np.where(known, baseline_rows, 0)], np.nan)
    for names, values in ((COLUMNS[:3], own), (COLUMNS[3:6], over)):
        for name, value in zip(names, interval(values)[:3], strict=True):
            frame[name] = value
    seeds = np.isfinite(own).sum(axis=1)
    rates = {row: sample.lr for row, sample in timed if isinstance(sample, Score) and sample.lr is not None}
    frame["lr"] = [rates.get(row, np.nan) for row in range(len(frame))]
    frame["reach"] = pd.Series(_reach(timed, len(frame)), frame.index, "str")
    frame["seeds"] = pd.array(np.where(seeds > 0, seeds, -1), "Int64")
    frame["seeds"] = frame["seeds"].mask(frame["seeds"] < 0)
    frame["steps_per_s"] = np.where(seeds > 0, 1e9 / frame["time_ns"].to_numpy(), np.nan)


def _reach(timed: Timed, cases: int) -> list[str]:
    """Return for each case the means over seeds of how far its layers look, as JSON; empty if it was not measured.

    Each layer has its field, its span and its error; null for one that does not exist.
    """
    found: dict[int, list[list[tuple[float | None, ...]]]] = {}
    for row, sample in timed:
        if isinstance(sample, Score) and sample.reach:
            found.setdefault(row, []).append([(each.field, each.span, each.error) for each in sample.reach])
    means = {
        row: [[_mean(numbers) for numbers in zip(*layer, strict=True)] for layer in zip(*seeds, strict=True)]
        for row, seeds in found.items()
    }
    return [json.dumps(means[row]) if row in means else "" for row in range(cases)]


def _mean(numbers: tuple[float | None, ...]) -> float | None:
    known = [each for each in numbers if each is not None]
    return round(sum(known) / len(known), 6) if known else None


def _scores(timed: Timed, processes: Sequence[tuple[int, int]], cases: int) -> FloatArray:
    """Return the score of each case with each seed `[cases, P]`; NaN if there is none."""
    found = np.full((cases, len(processes)), np.nan)
    columns = {name: p for p, name in enumerate(processes)}
    for row, sample in timed:
        if isinstance(sample, Score) and sample.score is not None and sample.process in columns:
            found[row, columns[sample.process]] = sample.score
    return found
