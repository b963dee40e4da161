"""Share of the machine's roof that each case reaches; the roof is measured beside it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from attnbench.reports.stats.statistics import FloatArray, floats, interval, positive
from attnbench.suites import Sample

COLUMNS = ("roof_flops_per_s", "copy_bytes_per_s", "roof_share", "roof_share_low", "roof_share_high")
"""The fastest matrix product of the case's dtype and threads, and the fastest copy, as geometric means over processes;
FLOP/s of the case over that of the product, paired by process, with its interval."""
ABOVE = 1.05
"""A share whose interval lies above this is an error of the measurement: nothing runs faster than the roof."""


def add(frame: pd.DataFrame, log_ns: FloatArray, timed: Sequence[tuple[int, Sample]]) -> None:
    """Fill in `COLUMNS`; `timed` holds the samples that passed, each with the row of its case."""
    roof, copy = (_by_process(timed, name, log_ns.shape) for name in ("roof_flops_per_s", "copy_bytes_per_s"))
    frame["roof_flops_per_s"], frame["copy_bytes_per_s"] = (np.exp(interval(each).mean) for each in (roof, copy))
    flops = positive(floats(frame["flops"]))
    share = interval(np.log(flops * 1e9)[:, None] - log_ns - roof)
    for name, value in zip(COLUMNS[2:], share[:3], strict=True):
        frame[name] = np.exp(value)


def above(frame: pd.DataFrame) -> "pd.Series[bool]":
    """Cases that would be faster than the machine's roof, even at the lower end of their interval, if they have one."""
    return frame["roof_share_low"].fillna(frame["roof_share"]) > ABOVE


def _by_process(timed: Sequence[tuple[int, Sample]], name: str, shape: tuple[int, ...]) -> FloatArray:
    """The logarithm of a rate of each sample `[cases, P]`, NaN where there is none."""
    found = np.full(shape, np.nan)
    columns = {process: p for p, process in enumerate(sorted({sample.process for _, sample in timed}))}
    for row, sample in timed:
        value = getattr(sample, name)
        if value is not None:
            found[row, columns[sample.process]] = value
    return np.asarray(np.log(found))
