"""Gain from threads: the time with the fewest threads over that with the most."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from attnbench.reports.data.frame import Run
from attnbench.reports.data.settings import SERIES, SETTING, told, varied
from attnbench.reports.stats.statistics import Interval, interval

_REST = tuple(name for name in SETTING if name != "threads")


class Group(NamedTuple):
    """The cases of settings that differ by their threads alone."""

    title: str
    """The setting, without its threads."""
    frame: pd.DataFrame
    """Those that passed; `count` is their number of threads."""


class Gain(NamedTuple):
    """One series of a group at one length, paired by process."""

    title: str
    name: str
    """`label/implementation`."""
    seq_len: int
    fewest: int
    most: int
    """Threads."""
    time: Interval
    """Time with the fewest over time with the most, on the log scale."""


def groups(run: Run) -> list[Group]:
    """Of settings that passed with several numbers of threads, on the CPU alone: threads mean nothing on CUDA."""
    auto = _auto(run.meta["environment"])
    count = [int(each) if each.isdigit() else auto for each in run.frame["threads"]]
    frame = run.frame.assign(count=pd.Series(count, run.frame.index, "int64"))
    frame = frame[(frame["status"] == "passed") & (frame["device"] == "cpu") & (frame["count"] > 0)]
    # Where a case passed with the number that `auto` stands for too, that one is enough.
    twice = frame.duplicated([*_REST, "seq_len", *SERIES, "count"], keep=False)
    frame = frame[~(twice & (frame["threads"] == "auto"))]
    named = {"direction", "dtype", "device", *varied(run.frame)} - {"threads"}
    parts = [part for _, part in frame.groupby(list(_REST), sort=False) if part["count"].nunique() > 1]
    return [Group(", ".join(told(part.iloc[0], named)), part) for part in parts]


def gains(run: Run) -> list[Gain]:
    """Of every series that passed with the fewest and with the most threads of its group, length by length."""
    found = []
    for title, frame in groups(run):
        fewest, most = int(frame["count"].min()), int(frame["count"].max())
        for _, rows in frame.groupby(["seq_len", *SERIES], sort=True):
            ends = [rows.index[rows["count"] == count] for count in (fewest, most)]
            if all(map(len, ends)):
                first = rows.iloc[0]
                time = interval(run.log_ns[ends[0][0]] - run.log_ns[ends[1][0]])
                name = "/".join(first[list(SERIES)])
                if time.processes:
                    found.append(Gain(title, name, int(first["seq_len"]), fewest, most, time))
    return found


def _auto(environment: Mapping[str, Any]) -> int:
    """What `auto` stands for."""
    count = environment.get("threads")
    return count if isinstance(count, int) else 0
