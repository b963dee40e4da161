"""What profiles say: the operators of a call by their share of its time, and the series of a setting."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from attnbench.reports.data.settings import Setting, series
from attnbench.suites.profile import OUTSIDE, Operator, Profile

REST = "other operators"
_LONGEST_NAME = 56


class Share(NamedTuple):
    """An operator, and its share of the time that counts: of kernels, on CUDA."""

    operator: Operator
    share: float


def shares(profile: Profile) -> list[Share]:
    """The operators of a profile, the longest first."""
    ordered = sorted(profile.operators, key=lambda each: (-profile.spent_ns(each), -each.self_ns, each.operator))
    return [Share(each, profile.spent_ns(each) / (profile.total_ns or 1)) for each in ordered]


def largest(profiles: Iterable[Profile], most: int) -> list[str]:
    """The operators with the largest mean shares, at most so many."""
    found: dict[str, float] = {}
    for profile in profiles:
        for each in profile.operators if profile.total_ns else ():
            found[each.operator] = found.get(each.operator, 0) + profile.spent_ns(each) / profile.total_ns
    found.pop(OUTSIDE, None)
    return sorted(found, key=lambda name: (-found[name], name))[:most]


def summed(profile: Profile, names: Sequence[str]) -> dict[str, float]:
    """The share of each operator named; what is not named goes to the rest."""
    found = dict.fromkeys(names, 0.0)
    for each in profile.operators:
        found[each.operator if each.operator in found else REST] += profile.spent_ns(each) / (profile.total_ns or 1)
    return found


class Profiled(NamedTuple):
    """The profiles of one setting."""

    setting: Setting
    series: list[tuple[str, dict[int, Profile]]]
    """Each series that was profiled, with its profiles by length."""
    compared_at: int
    """The length that series are compared at."""
    compared: list[tuple[str, Profile]]
    """The profiles at that length."""


def profiled(setting: Setting, n: int, profiles: Mapping[str, Profile]) -> Profiled:
    """The profiles of a setting whose series are compared at the length n."""
    found = []
    for name, part in series(setting.frame):
        cases = zip(part["seq_len"], part["case"], strict=True)
        told = {int(n): profiles[key] for n, key in cases if key in profiles and profiles[key].operators}
        if told:
            found.append((name, told))
    return Profiled(setting, found, n, [(name, told[n]) for name, told in found if n in told])


def short(operator: str) -> str:
    """An operator's name without its namespace, as long as a legend can hold."""
    name = operator.removeprefix("aten::").replace("autograd::engine::evaluate_function: ", "autograd: ")
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
