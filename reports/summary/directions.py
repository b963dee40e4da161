"""Cost of gradients: time and peak memory of `backward` and `training` over those of `forward`."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from attnbench.reports.data.frame import Run
from attnbench.reports.data.settings import SERIES, SETTING, comparison_length, told, varied
from attnbench.reports.stats.statistics import Interval, floats, interval

_REST = tuple(name for name in SETTING if name != "direction")


class Ratio(NamedTuple):
    """One series at one length: a direction over `forward`, paired by process."""

    title: str
    """The setting, without its direction."""
    name: str
    """`label/implementation`."""
    seq_len: int
    direction: str
    time: Interval
    """On the log scale."""
    peak: float
    """NaN where either has none."""


def ratios(run: Run) -> list[Ratio]:
    """Of every series with `forward` and another direction, at the length that its setting is compared at.

    In the order of the frame: setting by setting, then direction by direction.
    """
    passed = run.frame[run.frame["status"] == "passed"]
    named = {"dtype", "device", *varied(run.frame)} - {"direction"}
    found = []
    for _, part in passed.groupby(list(_REST), sort=False):
        others = [each for each in part["direction"].unique() if each != "forward"]
        if others and (part["direction"] == "forward").any():
            title = ", ".join(told(part.iloc[0], named))
            both = part[part["seq_len"] == _length(part)]
            found += [each for direction in others for each in _ratios(run, both, title, direction)]
    return found


def _length(part: pd.DataFrame) -> int:
    """The longest length at which every direction is compared, or else passed at all; -1 where there is none."""
    directions = [each for _, each in part.groupby("direction", sort=False)]
    shared = set.intersection(*(set(each["seq_len"]) for each in directions))
    compared = min(map(comparison_length, directions))
    return int(max((n for n in shared if n <= compared), default=max(shared, default=-1)))


def _ratios(run: Run, part: pd.DataFrame, title: str, direction: str) -> list[Ratio]:
    """Those of one setting, length and direction."""
    found = []
    for _, rows in part.groupby(list(SERIES), sort=False):
        row = dict(zip(rows["direction"], rows.index, strict=True))
        if direction in row and "forward" in row:
            over, under = row[direction], row["forward"]
            peaks = floats(rows["peak_bytes"])
            peak_of = dict(zip(rows.index, peaks, strict=True))
            time = interval(run.log_ns[over] - run.log_ns[under])
            if not time.processes:
                continue
            peak = peak_of[over] / peak_of[under] if peak_of[under] > 0 else np.nan
            first = rows.iloc[0]
            name = "/".join(first[list(SERIES)])
            found.append(Ratio(title, name, int(first["seq_len"]), direction, time, float(peak)))
    return found
