"""What several processes that share a sequence gain: against one process with one thread, and with as many threads."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from attnbench.reports.data.settings import SETTING, told, varied
from attnbench.reports.data.values import FloatArray
from attnbench.reports.stats.statistics import Interval, interval
from attnbench.variants import DEFAULTS

ALONE = str(DEFAULTS["world"])
"""The number of processes of a case that one computes, as in a frame."""


class Shared(NamedTuple):
    """A variant at one length whose sequence several processes share."""

    title: str
    """The setting without its processes and threads."""
    label: str
    seq_len: int
    world: int
    """The number of processes."""
    case: pd.Series
    over_one: Interval
    """Time in one process with one thread over its time, on the log scale; NaN if that was not measured."""
    over_threads: Interval
    """The same for one process with as many threads as there are processes here."""


def shared(frame: pd.DataFrame, log_ns: FloatArray) -> list[Shared]:
    """Return the cases that several processes share, by setting. `log_ns [cases, P]` holds log times.

    They are compared with the fastest implementation of their variant in one process.
    """
    rest = [name for name in SETTING if name not in ("world", "threads")]
    named = {"direction", "dtype", "device", *varied(frame)} - {"world", "threads"}
    passed = frame[frame["status"] == "passed"]
    found = []
    for row, case in passed[passed["world"] != ALONE].iterrows():
        alike = passed[(passed["world"] == ALONE) & (passed["label"] == case["label"])]
        alike = alike[(alike[[*rest, "seq_len"]] == case[[*rest, "seq_len"]]).all(axis=1)]
        times = [_over(alike[alike["threads"] == count], log_ns, int(str(row))) for count in ("1", case["world"])]
        first = case.copy()
        first["world"] = ALONE
        title = ", ".join(told(first, named))
        found.append(Shared(title, case["label"], int(case["seq_len"]), int(case["world"]), case, *times))
    return found


def by_title(found: Sequence[Shared]) -> dict[str, list[Shared]]:
    """Return the cases of each setting."""
    alike: dict[str, list[Shared]] = {}
    for each in found:
        alike.setdefault(each.title, []).append(each)
    return alike


def _over(one: pd.DataFrame, log_ns: FloatArray, row: int) -> Interval:
    """Return the time of the fastest of some cases over that of a row, paired by process."""
    if one.empty:
        return interval(np.full(1, np.nan))
    return interval(log_ns[int(str(one["time_ns"].idxmin()))] - log_ns[row])
