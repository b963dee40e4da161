"""Implementations of one variant against each other, at one length of a setting."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from attnbench.reports.data.values import FASTER, FloatArray, verdicts
from attnbench.reports.findings.lengths import usable
from attnbench.reports.stats.statistics import Interval, interval


class Best(NamedTuple):
    """The fastest implementation of a variant at a length, and the next one."""

    label: str
    """The variant with its parameters."""
    seq_len: int
    implementation: str
    following: str
    """The implementation with the next least time."""
    time: Interval
    """The time of the next one over that of the fastest, on the log scale."""
    is_shown: bool
    """Whether the next one is shown to be slower."""


def best(frame: pd.DataFrame, log_ns: FloatArray) -> list[Best]:
    """Return the fastest implementation of each variant at each length at which several implementations passed.

    The result is in the order of the frame's variants, then by length. `log_ns` is the run's `paired_log_ns`.
    """
    place = {label: at for at, label in enumerate(frame["label"].unique())}
    passed = usable(frame, ["label", "seq_len"])[["label", "seq_len", "implementation", "time_ns"]]
    passed = passed.assign(place=passed["label"].map(place)).sort_values(["place", "seq_len", "time_ns"], kind="stable")
    at = np.flatnonzero(passed.groupby(["place", "seq_len"]).cumcount() == 1)
    first, second = passed.iloc[at - 1], passed.iloc[at]
    # Differences within a process leave out what differs between processes.
    times = interval(log_ns[second.index] - log_ns[first.index])
    shown = verdicts(*np.exp(times[1:3])) == FASTER
    named = (first["label"], first["seq_len"], first["implementation"], second["implementation"], shown)
    return [
        Best(label, int(n), one, other, Interval(*time), bool(is_shown))
        for label, n, one, other, is_shown, *time in zip(*named, *times, strict=True)
    ]
