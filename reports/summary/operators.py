"""Profiled operators for figures and tables, with short names."""

from collections.abc import Mapping

from attnbench.reports.data.settings import Setting, comparison_length, series
from attnbench.suites.profile import Profile

_LONGEST = 56


def profiled(setting: Setting, profiles: Mapping[str, Profile]) -> list[tuple[str, dict[int, Profile]]]:
    """Each series of a setting that was profiled, and its profiles by length."""
    found = []
    for name, part in series(setting.frame):
        cases = zip(part["seq_len"], part["case"], strict=True)
        told = {int(n): profiles[key] for n, key in cases if key in profiles and profiles[key].operators}
        if told:
            found.append((name, told))
    return found


def compared(setting: Setting, profiles: Mapping[str, Profile]) -> tuple[int, list[tuple[str, Profile]]]:
    """The length that a setting's series are compared at, and the profiles there; none where no case passed."""
    if not (setting.frame["status"] == "passed").any():
        return 0, []
    n = comparison_length(setting.frame)
    return n, [(name, told[n]) for name, told in profiled(setting, profiles) if n in told]


def short(operator: str) -> str:
    """An operator's name without its namespace, as long as a legend can hold."""
    name = operator.removeprefix("aten::").replace("autograd::engine::evaluate_function: ", "autograd: ")
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
