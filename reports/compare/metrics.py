"""Verdicts on deterministic metrics: peak memory, pairs, operators, and the error against the oracle."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from attnbench.reports.data.values import floats
from attnbench.reports.decision.rule import Verdict
from attnbench.reports.stats.statistics import BoolArray, FloatArray
from attnbench.suites import Status
from attnbench.suites.profile import Profile

ERROR_FACTOR = 2.0
"""An error counts as worse if it more than doubles. The proof allows twice the textbook's error too."""
ERROR_FLOORS = {"float64": 1e-12, "float32": 1e-5, "float16": 1e-3, "bfloat16": 8e-3}
"""Errors below this are rounding. The proof has the same floors for outputs of about 1."""


def add(frame: pd.DataFrame, *, same_memory: BoolArray | bool, same_pattern: bool = True) -> None:
    """Fill in the verdicts on memory, work and error of a joined frame.

    Peaks are equal integers only on machines with the same torch, instruction set and threads. `same_memory` says for
    which cases, or for all, this holds. With `same_pattern` a case is compared with itself, so a change of its allowed
    pairs is an error; otherwise fewer pairs are less work.
    """
    a, b = (floats(frame[f"{side}_peak_bytes"]) for side in "ab")
    frame["memory_ratio"] = np.divide(b, a, out=np.full_like(a, np.nan), where=a > 0)
    frame["memory"] = np.where(same_memory, exact(a, b), Verdict.INCOMPARABLE.value)
    allowed, computed = (
        exact(*(floats(frame[f"{side}_{kind}_pairs"]) for side in "ab")) for kind in ("allowed", "computed")
    )
    judged = worse if same_pattern else fewer
    frame["work"] = [judged(one, other) for one, other in zip(allowed, computed, strict=True)]
    frame["error"] = _errors(frame)
    frame["operators"], frame["operators_changed"] = Verdict.INCOMPARABLE.value, ""


def add_operators(frame: pd.DataFrame, same: BoolArray, a: Mapping[str, Profile], b: Mapping[str, Profile]) -> None:
    """Fill in the verdicts on operators, from profiles by case; `same` says which cases may be compared.

    More calls of any operator are worse. Fewer calls of some, and more of none, are better.
    """
    cases = zip(frame["case"], same, strict=True)
    told = [_operators(a.get(case) if alike else None, b.get(case)) for case, alike in cases]
    frame["operators"], frame["operators_changed"] = [each[0] for each in told], [each[1] for each in told]


def _operators(a: Profile | None, b: Profile | None) -> tuple[str, str]:
    """Return the verdict on one case, and every operator that differs: `aten::copy_ 2 to 4`."""
    if a is None or b is None or a.status is not Status.PASSED or b.status is not Status.PASSED:
        return Verdict.INCOMPARABLE.value, ""
    one, other = ({each.operator: each.calls for each in profile.operators} for profile in (a, b))
    names = sorted(name for name in one.keys() | other.keys() if one.get(name, 0) != other.get(name, 0))
    changed = ", ".join(f"{name} {one.get(name, 0):g} to {other.get(name, 0):g}" for name in names)
    more = any(other.get(name, 0) > one.get(name, 0) for name in names)
    verdict = Verdict.REGRESSED if more else Verdict.IMPROVED if names else Verdict.UNCHANGED
    return verdict.value, changed


def exact(a: FloatArray, b: FloatArray) -> list[str]:
    """Return verdicts on counts. Any difference counts and more is worse; `incomparable` if one is missing."""
    found = np.select(
        [~(np.isfinite(a) & np.isfinite(b)), b > a, b < a],
        [Verdict.INCOMPARABLE.value, Verdict.REGRESSED.value, Verdict.IMPROVED.value],
        Verdict.UNCHANGED.value,
    )
    return [str(each) for each in found]


def worse(allowed: str, computed: str) -> str:
    """Return the verdict on work from those on allowed and on computed pairs.

    Any change of the allowed pairs is a regression, because it makes another variant.
    """
    if allowed in (Verdict.REGRESSED, Verdict.IMPROVED):
        return Verdict.REGRESSED.value
    return fewer(allowed, computed)


def fewer(allowed: str, computed: str) -> str:
    """Return the verdict on computed pairs, or on allowed pairs if the implementation does not report the former."""
    return allowed if computed == Verdict.INCOMPARABLE else computed


def _errors(frame: pd.DataFrame) -> list[str]:
    """Return verdicts on errors. They are comparable only if the proofs checked equal shares of the elements."""
    a, b = (floats(frame[f"{side}_max_abs_error"]) for side in "ab")
    proved = (floats(frame[f"{side}_proved"]) for side in "ab")
    alike = np.equal(*(np.nan_to_num(each, nan=-1.0) for each in proved))
    floor = frame["dtype"].map(ERROR_FLOORS).to_numpy(np.float64)
    grown, shrunk = (np.where(to > ERROR_FACTOR * since + floor, 1.0, 0.0) for since, to in ((a, b), (b, a)))
    # 0 is unchanged, 1 worse and -1 better, so that `exact` turns the differences into verdicts.
    there = np.where(np.isfinite(a) & np.isfinite(b) & alike, 0.0, np.nan)
    return exact(there, there + grown - shrunk)
