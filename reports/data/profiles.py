"""Profiles of a run: the operators of a call by their share of its time, and the series of a setting."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from attnbench.reports.data.settings import Setting, series
from attnbench.suites.profile import OUTSIDE, Operator, Profile

REST = "other operators"
_LONGEST_NAME = 56


class Share(NamedTuple):
    """Operator with its share of the call's time; on CUDA, of the kernel time."""

    operator: Operator
    share: float


def shares(profile: Profile) -> list[Share]:
    """Return the operators of a profile, the longest first."""
    ordered = sorted(profile.operators, key=lambda each: (-profile.spent_ns(each), -each.self_ns, each.operator))
    return [Share(each, profile.spent_ns(each) / (profile.total_ns or 1)) for each in ordered]


def largest(profiles: Iterable[Profile], most: int) -> list[str]:
    """Return the `most` operators with the largest mean shares."""
    found: dict[str, float] = {}
    for profile in profiles:
        for each in profile.operators if profile.total_ns else ():
            found[each.operator] = found.get(each.operator, 0) + profile.spent_ns(each) / profile.total_ns
    found.pop(OUTSIDE, None)
    return sorted(found, key=lambda name: (-found[name], name))[:most]


def summed(profile: Profile, names: Sequence[str]) -> dict[str, float]:
    """Return the share of each named operator; the others are added to `REST`, which must be named."""
    found = dict.fromkeys(names, 0.0)
    for each in profile.operators:
        found[each.operator if each.operator in found else REST] += profile.spent_ns(each) / (profile.total_ns or 1)
    return found


class Profiled(NamedTuple):
    """Profiles of one setting."""

    setting: Setting
    series: list[tuple[str, dict[int, Profile]]]
    """Each profiled series, with its profiles by length."""
    compared_at: int
    """The length at which series are compared."""
    compared: list[tuple[str, Profile]]
    """The profiles at that length."""


def profiled(setting: Setting, n: int, profiles: Mapping[str, Profile]) -> Profiled:
    """Collect the profiles of a setting whose series are compared at length n."""
    found = []
    for name, part in series(setting.frame):
        cases = zip(part["seq_len"], part["case"], strict=True)
        told = {int(n): profiles[key] for n, key in cases if key in profiles and profiles[key].operators}
        if told:
            found.append((name, told))
    return Profiled(setting, found, n, [(name, told[n]) for name, told in found if n in told])


def short(operator: str) -> str:
    """Return an operator's name without its namespace, cut to fit a legend."""
    name = operator.removeprefix("aten::").replace("autograd::engine::evaluate_function: ", "autograd: ")
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
