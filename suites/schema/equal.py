"""Equal sizes: whether the cases of each setting have about the same number of learned weights."""

from functools import lru_cache

from attnbench import variants
from attnbench.suites.case import Case, grouped
from attnbench.suites.schema.limits import share
from attnbench.suites.schema.suite import Suite
from attnbench.variants import ATTENTION, Named, Setting, levels


def flaw(suite: Suite) -> str | None:
    """Return which variants miss the suite's `equal_parameters`, and by how much, or None.

    The cases of a setting are compared with its baseline, or with the first of them if there is none. Cases that do not
    exist are left out. To count weights, they are drawn, which imports torch.
    """
    if suite.equal_parameters is None:
        return None
    most, missed = share(suite.equal_parameters), dict[str, str]()
    for group in grouped(suite.cases()):
        there = [case for case in group if _exists(case)]
        first = next((each for each in (*suite.baselines_of(group[0]), *there) if each in there), None)
        wanted = _learned(first.mechanism, first.setting) if first else 0
        for case in there:
            found = _learned(case.mechanism, case.setting)
            if first and abs(found - wanted) > most * wanted and case.label not in missed:
                by = f", {found / wanted - 1:+.1%}" if wanted else ""
                missed[case.label] = f"{found:,} of {case.title} instead of {wanted:,} of {first.label}{by}"
    if not missed:
        return None
    return f"expected numbers of parameters within {suite.equal_parameters}, found {'; '.join(missed.values())}"


def _exists(case: Case) -> bool:
    """Check whether a case's mechanism exists in each of its places at its level."""
    at_level = case.setting.level != ATTENTION or variants.load(case.mechanism.name).level == ATTENTION
    return at_level and all(map(_fits, case.places))


def _fits(place: Case) -> bool:
    """Check whether a mechanism exists in its layer and at its length."""
    level = levels.read(place.setting.level)
    mismatch = level.mismatch(place.parameters) if level else None
    return mismatch is None and place.parameters.unsupported(place.setting.shape.seq_len) is None


@lru_cache(maxsize=1)
def _learned(mechanism: Named, setting: Setting) -> int:
    """Return the number of learned weights. Implementations of a mechanism follow each other."""
    variant = variants.load(mechanism.name)
    return levels.learned(variant, variant.parameters(**mechanism.parameters), setting)
