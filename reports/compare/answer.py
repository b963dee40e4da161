"""Sentences on the result of a comparison."""

import math

from attnbench.reports.compare.cells import change, title
from attnbench.reports.compare.comparison import Comparison, Ratio
from attnbench.reports.decision.rule import COMPARED, Verdict
from attnbench.reports.text import escape
from attnbench.reports.text.phrases import listed

_MOST_NAMED = 5
_METRICS = {"verdict": "time", "memory": "peak memory", "work": "work", "operators": "operators", "error": "error"}


def answer(comparison: Comparison) -> list[str]:
    """Return sentences on what changed, by how much, what could not be compared, and how reliable this is."""
    cut = [comparison.cut] if comparison.cut else []
    if not comparison.compared:
        return [
            *cut,
            f"Nothing could be compared: {_counts(comparison, 'verdict') or _none(comparison)}.",
            *_axes(comparison),
            *_exchanged(comparison),
            *_machines(comparison),
        ]
    told = [f"{word}: {_counts(comparison, metric)}" for metric, word in _METRICS.items() if _told(comparison, metric)]
    return [
        *cut,
        *_changes(comparison),
        *_exchanged(comparison),
        *told,
        *_together(comparison),
        *_noise(comparison),
        *_machines(comparison),
        comparison.how,
    ]


def _none(comparison: Comparison) -> str:
    """Return why a comparison has no case."""
    return "no two cases differ by that alone" if comparison.ratio is Ratio.CASES else "neither side has a case"


def _axes(comparison: Comparison) -> list[str]:
    """Return a sentence on the axes that separate the cases only in A from those only in B."""
    told = [f"{name} is {listed(a)} in A and {listed(b)} in B" for name, (a, b) in comparison.apart.items()]
    return [f"no case is in both: {'; '.join(told)}"] if told else []


def _exchanged(comparison: Comparison) -> list[str]:
    """Return a sentence for each pair of implementations that A and B use for the same mechanisms."""
    return [
        f"{listed(labels)}: {a} in A and {b} in B, which is not compared; "
        f"to compare them, write `implementation: {a}` in the suite of B"
        for (a, b), labels in comparison.exchanged.items()
    ]


def _told(comparison: Comparison, metric: str) -> bool:
    """Check whether a metric gets a sentence: operators get none if nothing was profiled."""
    return metric != "operators" or set(comparison.counts(metric)) != {Verdict.INCOMPARABLE.value}


def _counts(comparison: Comparison, metric: str) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in comparison.counts(metric).items())


def _changes(comparison: Comparison) -> list[str]:
    """Name the cases that changed most, or say that none did."""
    frame = comparison.worst_first
    told = []
    for verdict, word in ((Verdict.REGRESSED, "slower"), (Verdict.IMPROVED, "faster")):
        part = frame[frame["verdict"] == verdict]
        named = [f"{title(row, comparison.named)} {change(row)}" for _, row in part.head(_MOST_NAMED).iterrows()]
        more = f", and {len(part) - _MOST_NAMED} more" if len(part) > _MOST_NAMED else ""
        told += [f"{word}: {'; '.join(named)}{more}"] if named else []
    lost = frame[frame["verdict"].isin([Verdict.ERROR, Verdict.MISSING])]
    told += [f"{title(row, comparison.named)}: {row['reason']}" for _, row in lost.head(_MOST_NAMED).iterrows()]
    if told or not frame["verdict"].isin(COMPARED).any():
        return told
    return ["no case is shown to be slower or faster"]


def _together(comparison: Comparison) -> list[str]:
    """Return a sentence on the mean change of all cases of two runs."""
    if comparison.mean_ratio is None:
        return []
    told = f"over all cases together B takes {comparison.mean_ratio:.3f} times as long as A"
    found = f"; for the median case a change of {comparison.median_detectable:.1%} could be found"
    return [told + (found if math.isfinite(comparison.median_detectable) else "")]


def _noise(comparison: Comparison) -> list[str]:
    if comparison.noise is None:
        return []
    told = f"differed by {comparison.noise:.1%} at most" if comparison.noise else "is not shown to differ"
    return [f"the same code against itself {told}"]


def _machines(comparison: Comparison) -> list[str]:
    if not comparison.differences:
        return ["no version and no variable differs"] if comparison.what == "environments" else []
    told = [f"{name}: {escape.plain(a)} and {escape.plain(b)}" for name, (a, b) in comparison.differences.items()]
    return [f"the {comparison.what_differs} differ in {'; '.join(told)}"]
