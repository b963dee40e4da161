"""What a run on several classes of hardware says of them: which results hold on all, and which change sides."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from attnbench.reports.data.parts import Part
from attnbench.reports.data.settings import SETTING, Setting, names, told, varied
from attnbench.reports.data.values import FASTER, SLOWER, FloatArray, verdicts
from attnbench.reports.findings.results import Results

HOLDS, CHANGES, NOT_SHOWN = "holds", "changes sides", "not shown on all"
"""Whether a series is faster on every class, or slower on every class; faster on one and slower on another; or neither
is shown."""


class OnEach(NamedTuple):
    """One series on each class of hardware, at one length."""

    name: str
    """`label/implementation`."""
    cases: Mapping[str, pd.Series]
    """Its case on each class on which it passed."""
    growth: Mapping[str, pd.Series]
    """Its row of the run's `scaling` on each class."""
    verdicts: Mapping[str, str]
    """Whether it is faster than the baseline there; empty where that cannot be told."""

    @property
    def result(self) -> str:
        """Whether the result against the baseline holds on all classes."""
        found = set(self.verdicts.values())
        if {FASTER, SLOWER} <= found:
            return CHANGES
        return HOLDS if found in ({FASTER}, {SLOWER}) else NOT_SHOWN


class ByHardware(NamedTuple):
    """Settings that differ in the class of hardware alone."""

    title: str
    """The setting without its hardware."""
    classes: tuple[str, ...]
    seq_len: int
    """The longest length at which series are compared on all classes."""
    baseline: str
    several_lengths: bool
    series: tuple[OnEach, ...]


def by_hardware(found: Sequence[Results]) -> list[ByHardware]:
    """Compare the settings of a run that differ in the class of hardware alone, and of which some case passed."""
    rest = [name for name in SETTING if name != "hardware"]
    alike: dict[tuple[object, ...], list[Results]] = {}
    for each in found:
        if each.passed:
            first = each.setting.frame.iloc[0]
            alike.setdefault(tuple(first[name] for name in rest), []).append(each)
    every = pd.concat([each.setting.frame for each in found]) if found else pd.DataFrame()
    return [_compared(each, every) for each in alike.values() if len(each) > 1]


def _compared(settings: Sequence[Results], every: pd.DataFrame) -> ByHardware:
    """Compare settings, which are those of one class each."""
    by_class = {str(each.setting.frame["hardware"].iloc[0]): each for each in settings}
    first, n = settings[0], min(each.compared_at for each in settings)
    named = {"direction", "dtype", "device", *varied(every)} - {"hardware"}
    row = first.setting.frame.iloc[0].copy()
    row["hardware"] = ""
    series = [_on_each(name, by_class, n) for name in first.cases if name != first.baseline]
    return ByHardware(
        ", ".join(told(row, named)),
        tuple(by_class),
        n,
        first.baseline,
        first.several_lengths,
        tuple(each for each in series if each.cases),
    )


def _on_each(name: str, by_class: Mapping[str, Results], n: int) -> OnEach:
    """Return a series on each class at a length."""
    cases = {
        hardware: case
        for hardware, each in by_class.items()
        if (case := each.cases.get(name, {}).get(n)) is not None and case["status"] == "passed"
    }
    growth = {hardware: dict(each.growth)[name] for hardware, each in by_class.items() if name in dict(each.growth)}
    said = {hardware: str(verdicts(case["speedup_low"], case["speedup_high"])) for hardware, case in cases.items()}
    return OnEach(name, cases, growth, {hardware: said.get(hardware, "") for hardware in by_class})


class Spread(NamedTuple):
    """How far the machines of a class differ in the time of one case."""

    title: str
    name: str
    seq_len: int
    machines: int
    slowest_over_fastest: float
    """The mean time on the slowest machine over that on the fastest."""


def between_machines(
    settings: Sequence[Setting], log_ns: FloatArray, processes: Sequence[tuple[int, int]], parts: Sequence[Part]
) -> list[Spread]:
    """Return how far machines differ in the time of each case that several of them timed."""
    machines = np.array([parts[part].node for _, part in processes])
    found = []
    for setting in settings:
        frame = setting.frame[setting.frame["status"] == "passed"]
        for name, (row, case) in zip(names(frame), frame.iterrows(), strict=True):
            times = log_ns[int(str(row))]
            held = sorted({str(each) for each in machines[np.isfinite(times)] if each})
            if len(held) > 1:
                means = [np.nanmean(times[machines == each]) for each in held]
                apart = math.exp(max(means) - min(means))
                found.append(Spread(setting.title, name, int(case["seq_len"]), len(held), apart))
    return found
