"""Device conditions during timing (CUDA only): host time, hot-cache time, throttling."""

from collections.abc import Sequence
from statistics import median

import numpy as np
import pandas as pd

from attnbench.reports.stats.statistics import log_medians
from attnbench.suites import Sample

COLUMNS = ("hot_time_ns", "host_ns", "launch_bound", "throttled")
"""`hot_time_ns` is the time with a hot L2 cache, where `time_ns` is with a cold one; `host_ns` what the host takes to
queue a call; `launch_bound`: that took longer than the call itself in some process; `throttled`: something held the
clocks down in one. Where that is not known, they are empty."""


def add(frame: pd.DataFrame, timed: Sequence[tuple[int, Sample]]) -> None:
    """Fill in `COLUMNS`; `timed` holds the samples that passed, each with the row of its case."""
    seen: dict[int, list[Sample]] = {}
    for row, sample in timed:
        if sample.hot_values_ns:
            seen.setdefault(row, []).append(sample)
    found: dict[str, list[float | bool | None]] = {name: [None] * len(frame) for name in COLUMNS}
    for row, samples in seen.items():
        found["hot_time_ns"][row] = float(np.exp(log_medians([each.hot_values_ns for each in samples]).mean()))
        host = [each.host_ns for each in samples if each.host_ns is not None]
        found["host_ns"][row] = median(host) if host else None
        for name in ("launch_bound", "throttled"):
            known = [getattr(each, name) for each in samples if getattr(each, name) is not None]
            found[name][row] = any(known) if known else None
    for name, values in found.items():
        told = pd.Series(values, frame.index, "object")
        frame[name] = told.astype("boolean" if name in ("launch_bound", "throttled") else "Float64")
